"""Readings of the changefeed's head on the simulated clock: when, and what they resolve."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.bulk.checking.cleared_leads import MAX_CLEARANCE_AGE
from airflow_provider_leadconv.bulk.sending import head_reader
from airflow_provider_leadconv.sandbox import Fault
from tests.support.bulk_simulation import Server, World, convert, job_of, methods


@pytest.fixture
def world():
    return World()


def test_many_unknown_outcomes_are_resolved_by_one_page(world):
    server = Server(world, leads=150, faults=[Fault(name="drop_after", times=150)])
    result = convert(server, server.store.leads, concurrency=20)
    assert set(result.statuses.values()) == {"converted"}
    assert max(server.counts().values()) == 1
    assert methods(server).count("POST") == 150
    # The walk, one page for all the pending_lookups, the audit.
    assert methods(server).count("GET") <= 1 + 2 + 1


def test_an_unknown_outcome_is_resolved_no_earlier_than_timeout_and_settle_time(world):
    server = Server(world, leads=1, faults=[Fault(name="drop_before", method="POST", times=1)])
    convert(server, server.store.leads, settle_time=5.0)
    first, second = [moment for moment, method, _ in server.log if method == "POST"]
    assert 15.0 <= second - first <= 20.0
    deciding = [moment for moment, method, _ in server.log if method == "GET" and first < moment < second]
    assert min(deciding) >= first + 14.9  # sent at most 0.1 s before it arrived


def test_an_old_clearance_needs_a_reading_of_the_changefeeds_head(world):
    server = Server(world, leads=60, second_conversion="new", latency=(0.05, 0.1))
    job = job_of(server)
    list(job.precheck())
    theirs = server.store.leads[0]
    server.store.add_conversion(theirs)
    world.run_until(world.now + MAX_CLEARANCE_AGE + 1.0, lambda: False)
    results = {result.lead_id: str(result.status) for result in job.convert()}
    assert results[theirs] == "existing"
    assert server.counts()[theirs] == 1


def test_the_head_is_read_no_further_than_the_precheck(world, monkeypatch):
    monkeypatch.setattr(head_reader, "HEAD_INTERVAL", 1.0)
    server = Server(world, leads=1, conversions=3000, latency=(1.0, 1.5))
    result = convert(server, server.store.leads)
    assert set(result.statuses.values()) == {"converted"}
    # Two pages and a look-up; then the head, of two pages, each second while the lead is sent, and for the audit.
    assert methods(server)[:4] == ["GET", "GET", "GET", "POST"]
    assert methods(server).count("GET") <= 3 + 2 * 3


def test_sending_goes_on_while_a_head_of_many_pages_is_read_at_a_low_rate(world):
    server = Server(world, leads=300, latency=(0.05, 0.1))
    for second in range(600):  # others convert beside, so the overlap window is long
        for _ in range(8):
            world.at(float(second), server.store.add_conversion)
    convert(server, server.store.leads, settle_time=30.0, requests_per_second=2.0, concurrency=16)
    posted = [moment for moment, method, _ in server.log if method == "POST"]
    used = [moment for moment, _, _ in server.log if posted[0] <= moment <= posted[-1]]
    assert methods(server).count("GET") >= 5 * 5  # five readings, each of five pages
    assert len(used) >= 0.97 * 2.0 * (used[-1] - used[0])


def test_the_engine_does_not_spin_while_the_head_cannot_be_read(world):
    server = Server(world, leads=300, latency=(0.5, 0.5))
    world.at(25.0, lambda: setattr(server.service.injector, "faults", [Fault(name="stall", method="GET", seconds=60)]))
    world.at(50.0, lambda: setattr(server.service.injector, "faults", []))
    result = convert(server, server.store.leads, requests_per_second=5.0)
    assert set(result.statuses.values()) == {"converted"}
    # A wait for each request and each line, not one after the other without a pause.
    assert world.waits < 10 * len(server.log)
    assert result.workers.most <= 4 + 1  # one reading of the head at a time
