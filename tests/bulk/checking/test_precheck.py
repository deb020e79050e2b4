"""The pre-check on the simulated clock: what it finds, and how many requests it takes."""

from __future__ import annotations

from math import ceil

import pytest

from airflow_provider_leadconv.sandbox import Fault
from tests.support.bulk_simulation import Disk, Server, World, convert, job_of, words


@pytest.fixture
def world():
    return World()


def test_few_leads_in_a_long_changefeed_are_looked_up(world):
    server = Server(world, leads=0, conversions=4000, latency=(0.05, 0.05))
    old = server.store.conversions[-1].lead_id
    new = server.store.conversions[0].lead_id
    job = job_of(server, [new, old, *server.store.add_leads(8)])
    assert words(job.precheck()) == {new: "existing", old: "existing"}
    # Nine look-ups; of the changefeed the two pages that the overlap window needs, and one that shows its length.
    assert len(server.log) <= 9 + 3
    assert job.ledger.start_watermark == server.store.conversions[0].id


def test_many_leads_in_a_short_changefeed_are_checked_by_walking(world):
    server = Server(world, leads=500, conversions=1900, latency=(0.05, 0.05))
    old = server.store.conversions[-1].lead_id
    assert words(job_of(server, [*server.store.leads, old]).precheck()) == {old: "existing"}
    assert len(server.log) <= 10 + 2


def test_look_ups_and_the_walk_share_the_permits(world):
    server = Server(world, leads=100, conversions=20_000, latency=(0.45, 0.5))
    started, job = world.now, job_of(server)
    assert words(job.precheck()) == {}
    assert len(server.log) <= 100 + 10
    assert world.now - started <= 15.0


def test_a_lead_found_by_the_walk_is_not_looked_up(world):
    server = Server(world, leads=0, conversions=1000)
    leads = [row.lead_id for row in server.store.conversions[:150]]
    assert set(words(job_of(server, leads).precheck()).values()) == {"existing"}
    assert len(server.log) <= 2 + 1


def test_precheck_ends_once_every_lead_is_found(world):
    server = Server(world, leads=0, conversions=1000)
    leads = [row.lead_id for row in server.store.conversions[150:250]]
    assert len(words(job_of(server, leads).precheck())) == 100
    assert len(server.log) <= 3


def test_precheck_ends_with_the_changefeed(world):
    server = Server(world, leads=500, conversions=350)
    assert list(job_of(server).precheck()) == []
    assert len(server.log) == 2


def test_an_empty_changefeed_has_start_watermark_0(world):
    job = job_of(Server(world, leads=2, conversions=0))
    assert list(job.precheck()) == []
    assert job.ledger.start_watermark == 0
    assert set(words(job.convert()).values()) == {"converted"}


def test_an_empty_first_page_is_not_an_empty_changefeed(world):
    server = Server(world, leads=3, conversions=30, faults=[Fault(name="empty_page", times=1)])
    job = job_of(server, [*server.store.leads, server.store.conversions[5].lead_id])
    assert set(words(job.precheck()).values()) == {"existing"}
    assert job.ledger.start_watermark == server.store.conversions[0].id


def test_a_resumed_run_reads_the_changefeed_down_to_the_start_watermark(world):
    server = Server(world, leads=500, conversions=3000, latency=(0.01, 0.05))
    disk = Disk()
    leads = server.store.leads
    first = convert(server, leads, disk, kill_after=8.0, concurrency=8)
    assert first.killed
    new = len(server.store.conversions) - 3000
    assert 10 < new < 500
    second = convert(server, leads, disk, is_resumed=True, concurrency=8)
    after_kill = [(at, method) for at, method, _ in server.log if at > 8.0 + 0.03]  # what was under way has arrived
    assert after_kill[0][0] >= 8.0 + 15.0  # no earlier than the server must be done
    assert [method for _, method in after_kill].index("POST") <= ceil(new / 200) + 3 * 8
    assert set(second.statuses.values()) == {"converted"}
    assert max(server.counts().values()) == 1


def test_a_retry_with_added_leads_runs_a_full_precheck(world):
    server = Server(world, leads=5, conversions=900, second_conversion="new")
    old = server.store.conversions[-1].lead_id
    disk = Disk()
    leads = server.store.leads
    convert(server, leads, disk, kill_after=1.5)
    result = convert(server, [*leads, old], disk, is_resumed=True)
    assert result.statuses[old] == "existing"
    assert server.counts()[old] == 1
