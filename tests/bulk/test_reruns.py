"""Every way in which a bulk runs again, on the simulated clock: with a request of the first process still on its way,
on a server that accepts second conversions.
"""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.bulk.engine import BulkConversion
from airflow_provider_leadconv.bulk.inputs import read_leads
from airflow_provider_leadconv.bulk.sending_marker import ConstantMarker
from airflow_provider_leadconv.bulk.suspension import MAX_GAP, SuspensionDetector
from airflow_provider_leadconv.sandbox.faults import Fault
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.lease import LEASE_SECONDS
from tests.support.bulk_memory import MemoryMarker
from tests.support.bulk_simulation import Disk, Killed, Server, SimulatedWorkers, World, convert, convert_beside

TIMEOUT, SETTLE = 10.0, 5.0
LATE = [Fault(name="late_commit", share=0.4, seconds=TIMEOUT - 1)]


@pytest.fixture
def server() -> Server:
    return Server(World(), leads=40, conversions=30, faults=LATE, timeout=TIMEOUT)


def check(server, leads):
    assert leads
    counts = server.counts()
    assert {lead: counts.get(lead, 0) for lead in leads} == dict.fromkeys(leads, 1)


def hook_in_a_task(server, leads, marker, *, kill_after=None, suspension=None):
    """What ``hook.convert_leads`` does in a process of its own."""
    server.world.start_process(kill_after)
    detector = suspension or SuspensionDetector(server.world)
    workers = SimulatedWorkers(server.world)
    job = BulkConversion(
        server.client(settle_time=SETTLE),
        read_leads(leads),
        concurrency=8,
        marker=marker,
        workers=workers,
        suspension=detector,
    )
    try:
        return [*job.precheck(), *job.convert()]
    except Killed:
        return None
    finally:
        server.world.start_process()


KILLS = [2.0, 4.0, 5.0, 7.0]


@pytest.mark.parametrize("kill_after", KILLS)
def test_a_retry_waits_whatever_its_try_number(server, kill_after):
    leads, disk = list(server.store.leads), Disk()
    assert convert(server, leads, disk, kill_after=kill_after, settle_time=SETTLE, concurrency=8).killed
    server.service.injector.faults = []
    convert(server, leads, disk, settle_time=SETTLE, concurrency=8)
    check(server, leads)


@pytest.mark.parametrize("kill_after", KILLS)
def test_a_hook_in_a_killed_task_waits(server, kill_after):
    leads, marker = list(server.store.leads), MemoryMarker()
    assert hook_in_a_task(server, leads, marker, kill_after=kill_after) is None
    server.service.injector.faults = []
    hook_in_a_task(server, leads, marker)
    check(server, leads)
    assert not marker.is_set()


def test_without_a_marker_a_rerun_at_once_doubles_leads(server):
    # What the marker is for: this test shows that the ones above can fail.
    leads = list(server.store.leads)
    hook_in_a_task(server, leads, ConstantMarker(is_set=False), kill_after=5.0)
    server.service.injector.faults = []
    hook_in_a_task(server, leads, ConstantMarker(is_set=False))
    assert max(server.counts().values()) == 2


def test_a_new_run_over_the_results_of_a_run_that_ended_in_order_waits_for_its_unknown_leads(server):
    leads, disk = list(server.store.leads), Disk()
    # The token is refused in the middle of the run, so that it ends with requests on their way.
    server.world.at(6.0, lambda: server.service.access.revoke("0123456789abcdef"))
    first = convert(server, leads, disk, settle_time=SETTLE, concurrency=8)
    assert first.run.stopped_by
    unknown = [line for line in first.lines if line["status"] == "unknown"]
    assert unknown
    server.service.access.add("0123456789abcdef", ("read", "write"), server.store.owners[0])
    server.service.injector.faults = []
    batch = read_leads(first.lines)
    assert batch.has_unknown
    hook_in_a_task(server, first.lines, ConstantMarker(is_set=batch.has_unknown))
    check(server, leads)


def test_a_rescheduled_task_waits_for_the_unknown_leads_in_its_results(server):
    leads, disk = list(server.store.leads), Disk()
    server.world.at(6.0, lambda: server.service.access.revoke("0123456789abcdef"))
    first = convert(server, leads, disk, settle_time=SETTLE, concurrency=8)
    assert any(line["status"] == "unknown" for line in first.lines)
    server.service.access.add("0123456789abcdef", ("read", "write"), server.store.owners[0])
    server.service.injector.faults = []
    convert(server, leads, disk, settle_time=SETTLE, concurrency=8)
    check(server, leads)


def test_a_cleared_task_whose_results_are_complete_does_not_wait(server):
    server.service.injector.faults = []
    leads, disk = list(server.store.leads), Disk()
    convert(server, leads, disk, settle_time=SETTLE)
    before = server.world.now
    again = convert(server, leads, disk, settle_time=SETTLE)
    assert server.world.now - before < TIMEOUT
    assert set(again.statuses.values()) == {"converted"}


def test_a_run_that_sent_nothing_leaves_no_marker(server):
    leads, marker = list(server.store.leads), MemoryMarker()
    assert hook_in_a_task(server, leads, marker, kill_after=0.01) is None
    assert not marker.is_set()


@pytest.mark.parametrize("stopped_at", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("stopped_for", [MAX_GAP + 1, 3600.0])
def test_a_suspended_process_reads_what_others_did_before_it_sends(server, stopped_at, stopped_for):
    server.service.injector.faults = []
    world, leads = server.world, list(server.store.leads)
    taken = []

    def suspend():
        # Another process converts all that is left meanwhile.
        for lead in leads:
            if lead not in server.store.conversion_counts:
                taken.append(lead)
                server.store.add_conversion(lead)
        world.now += stopped_for

    world.at(stopped_at, suspend)
    results = hook_in_a_task(server, leads, ConstantMarker(is_set=False))
    assert taken
    counts = server.counts()
    doubles = [lead for lead in leads if counts[lead] > 1]
    assert len(doubles) <= 8  # one request of each worker may have been sent already
    assert {result.lead_id for result in results if result.status == "existing"} >= set(taken) - set(doubles)


def test_a_killed_run_sends_nothing_more(server):
    server.service.injector.faults = []
    world, leads = server.world, list(server.store.leads)
    world.start_process()
    workers = SimulatedWorkers(world)
    client = server.client(settle_time=SETTLE, requests_per_second=2.0)
    detector = SuspensionDetector(world)
    job = BulkConversion(client, read_leads(leads), concurrency=16, workers=workers, suspension=detector)
    list(job.precheck())
    results = job.convert()
    next(results)
    job.kill()
    sent = sum(method == "POST" for _, method, _ in server.log)
    assert [result for result in results if result.status == "converted"] == []
    world.run_until(world.now + 60, lambda: False)
    in_flight = 2  # at 2 requests/s and up to 0.5 s of latency
    assert sum(method == "POST" for _, method, _ in server.log) <= sent + in_flight


def zombie_and_successor(server, *, starts_after, disks):
    """Two processes of one run that see no lock of each other: the first goes on while the second starts."""
    world, leads = server.world, list(server.store.leads)
    zombie = convert_beside(server, leads, disks[0], settle_time=SETTLE, concurrency=8)
    world.run_until(world.now + starts_after, lambda: False)
    successor = convert(server, leads, disks[1], settle_time=SETTLE, concurrency=8)
    world.run_until(world.now + 300, lambda: False)
    return zombie, successor


STARTS = [0.0, 0.01, 0.2, 0.5, 1.0, 2.0, 4.0, 7.0, 10.0]
"""Before, during and after the pre-check of the zombie, which sends its first lead after one second."""


@pytest.mark.parametrize("late", [0.4, 1.0])
@pytest.mark.parametrize("starts_after", STARTS)
def test_a_zombie_stops_before_its_successor_sends(starts_after, late):
    faults = [Fault(name="late_commit", share=late, seconds=TIMEOUT - 1)]
    server, disk = Server(World(), leads=150, conversions=30, faults=faults, timeout=TIMEOUT), Disk()
    leads = list(server.store.leads)
    zombie, successor = zombie_and_successor(server, starts_after=starts_after, disks=(disk, disk))
    check(server, leads)
    assert isinstance(zombie.error, ConcurrentRunError)
    assert "results.jsonl" in str(zombie.error)
    assert set(successor.statuses.values()) == {"converted"}
    assert disk.journal_bytes == b""
    assert set(disk.files) == {"results.jsonl"}


def test_without_a_shared_claim_a_zombie_and_its_successor_double_leads():
    # What the claim is for: this test shows that the one above can fail.
    server = Server(World(), leads=150, conversions=30, faults=LATE, timeout=TIMEOUT)
    zombie, _ = zombie_and_successor(server, starts_after=4.0, disks=(Disk(), Disk()))
    assert zombie.error is None
    assert max(server.counts().values()) == 2


def test_the_successor_of_a_killed_process_waits_for_its_lease_as_well(server):
    leads, disk = list(server.store.leads), Disk()
    assert convert(server, leads, disk, kill_after=5.0, settle_time=SETTLE, concurrency=8).killed
    started = server.world.now
    first_post = len(server.log)
    convert(server, leads, disk, settle_time=SETTLE, concurrency=8)
    sent = [moment for moment, method, _ in server.log[first_post:] if method == "POST"]
    assert LEASE_SECONDS + TIMEOUT + SETTLE <= sent[0] - started < LEASE_SECONDS + TIMEOUT + SETTLE + 5


def test_the_successor_of_a_process_that_was_killed_before_it_sent_does_not_wait(server):
    server.service.injector.faults = []
    leads, disk = list(server.store.leads), Disk()
    assert convert(server, leads, disk, kill_after=0.1, settle_time=SETTLE, concurrency=8).killed
    assert "results.jsonl.claim" in disk.files
    started = server.world.now
    convert(server, leads, disk, settle_time=SETTLE, concurrency=8)
    assert next(moment for moment, method, _ in server.log if method == "POST") - started < 5
