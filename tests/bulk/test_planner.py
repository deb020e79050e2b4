"""Which request comes first, on the simulated clock."""

from __future__ import annotations

import pytest

from tests.support.bulk_simulation import Disk, Server, World, convert, methods


@pytest.fixture
def world():
    return World()


def sends_and_checks(server):
    """Times of the first conversion, and of the last request that checks a lead."""
    posts = [moment for moment, method, _ in server.log if method == "POST"]
    look_ups = [moment for moment, method, _ in server.log if method == "GET" and moment > posts[0]]
    return posts[0], look_ups[-1]


def test_at_most_concurrency_requests_and_one_reading_are_in_flight(world):
    server = Server(world, leads=60)
    result = convert(server, server.store.leads, concurrency=5)
    assert 5 <= result.workers.most <= 6


def test_a_cleared_lead_is_sent_while_others_are_checked(world):
    server = Server(world, leads=100, conversions=40_000, latency=(0.2, 0.25))
    disk = Disk()
    result = convert(server, server.store.leads, disk)
    assert set(result.statuses.values()) == {"converted"}
    first, last_check = sends_and_checks(server)
    assert first < 5.0
    assert last_check > 15.0
    summary = result.run.summary
    assert first < summary.precheck_duration_s < summary.duration_s
    assert summary.precheck_api_calls <= 100 + 10


@pytest.mark.parametrize("requests_per_second", [0.03, 0.02])
def test_leads_are_sent_even_if_permits_are_further_apart_than_readings_of_the_head(world, requests_per_second):
    server = Server(world, leads=10)
    result = convert(server, server.store.leads, requests_per_second=requests_per_second)
    assert set(result.statuses.values()) == {"converted"}
    assert len(methods(server)) <= 10 + 12
