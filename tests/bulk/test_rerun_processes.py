"""Every way in which a bulk runs again, with real processes: at a server that accepts second conversions, with requests
of the first process that are committed only after its end.
"""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from airflow_provider_leadconv.bulk.suspension import MAX_GAP
from airflow_provider_leadconv.sandbox import Fault, Sandbox
from airflow_provider_leadconv.storage.lease import LEASE_SECONDS
from tests.support.bulk_processes import CONCURRENCY, BulkProcesses
from tests.support.bulk_runs import QUICK, lines_of
from tests.support.capabilities import AIRFLOW, needs_state_store

OUTAGE = {"timeout": 1.0, "settle_time": 8.0, "retry_timeout": 1.0}


def batch_of(tmp_path, leads, rate, timeout, **extra):
    # The response is lost, and the lead is converted just in time.
    settle_time = extra.get("settle_time", QUICK["settle_time"])
    late = Fault(name="late_commit", share=0.4, seconds=timeout + settle_time - 0.3)
    with Sandbox(leads=leads, conversions=250, second_conversion="new", latency=0.02, faults=[late]) as sandbox:
        batch = BulkProcesses(sandbox, tmp_path / "results.jsonl", sandbox.leads, rate, timeout, **extra)
        yield batch
        batch.close()


@pytest.fixture
def batch(tmp_path):
    yield from batch_of(tmp_path, 80, 60, QUICK["timeout"])


@pytest.fixture
def patient_batch(tmp_path):
    """Requests may be on their way for longer than a task needs to start."""
    yield from batch_of(tmp_path, 80, 60, 5.0)


@pytest.fixture
def impatient_batch(tmp_path):
    """An outage ends a run soon, and unknown outcomes are resolved late."""
    yield from batch_of(tmp_path, 80, 60, **OUTAGE)


@pytest.fixture
def slow_batch(tmp_path):
    yield from batch_of(tmp_path, 300, 10, QUICK["timeout"])


def sent(batch):
    return {json.loads(request.body)["data"]["lead_id"] for request in batch.posts}


def converted(batch):
    return set(batch.sandbox.conversion_counts)


def check(batch, on_their_way):
    """Each lead is converted once, and some of those that were on their way only after the end of their sender.

    :param on_their_way: leads that were sent, and not converted yet, when their sender had ended.
    """
    batch.check()
    leads = [json.loads(request.body)["data"]["lead_id"] for request in batch.posts]
    assert [lead for lead in on_their_way if leads.count(lead) == 1]


def kill(batch, process, signum=signal.SIGKILL):
    """:return: the leads that were on their way."""
    batch.wait_for_posts(20)
    os.kill(process, signum)
    batch.status(process)
    return sent(batch) - converted(batch)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("try_number", [1, 2], ids=["rescheduled or cleared", "retried"])
def test_the_operator_runs_again(batch, signum, try_number):
    on_their_way = kill(batch, batch.start("run", 1, batch.path), signum)
    batch.start("run", try_number, batch.path)
    summary = batch.finish()
    check(batch, on_their_way)
    assert summary["converted"] == len(batch.leads)
    assert set(batch.path.parent.iterdir()) == {batch.path, batch.response}


@pytest.mark.slow
def test_a_new_run_reads_the_results_of_a_run_that_ended_with_unknown_leads(patient_batch):
    batch = patient_batch
    process = batch.start("run", 1, batch.path)
    batch.wait_for_posts(20)
    # The token is refused, so that the run ends in order while responses are lost.
    batch.sandbox.revoke_token(batch.sandbox.token)
    batch.status(process)
    on_their_way = sent(batch) - converted(batch)
    assert "unknown" in {line["status"] for line in lines_of(batch.path)}
    batch.sandbox.add_token(batch.sandbox.token)
    second = batch.path.with_name("second.jsonl")
    batch.start("another run", 1, second, leads_path=str(batch.path))
    batch.finish()
    check(batch, on_their_way)


@pytest.mark.slow
@pytest.mark.skipif(AIRFLOW < (3, 0), reason="the task runner of Airflow 2 needs a database that outlives its process")
def test_the_operator_is_rescheduled_in_an_outage_and_waits_though_its_try_number_is_the_same(
    impatient_batch, tmp_path
):
    batch = impatient_batch
    options = {"store": str(tmp_path / "store.json"), "leads": batch.leads, "try_number": 1}
    process = batch.start_kind("operator_in_a_task", **options)
    batch.wait_for_posts(20)
    batch.sandbox.faults = [Fault(name="error_503")]
    state, error = batch.finish(process)
    assert state == ("up_for_reschedule" if AIRFLOW >= (3, 4) else "up_for_retry"), error
    assert "x unknown" in error, "responses were lost"
    batch.sandbox.faults = []
    started = time.monotonic()
    batch.start_kind("operator_in_a_task", **options, reschedules=1)
    assert batch.finish() == ["success", "None"]
    assert time.monotonic() - started >= OUTAGE["timeout"] + OUTAGE["settle_time"]
    batch.check()


@pytest.mark.slow
@pytest.mark.skipif(AIRFLOW < (3, 0), reason="the task runner of Airflow 2 needs a database that outlives a SIGKILL")
@pytest.mark.parametrize(
    "try_number",
    [
        pytest.param(
            1,
            id="rescheduled",
            marks=needs_state_store.mark,
        ),
        pytest.param(2, id="retried"),
    ],
)
def test_a_hook_in_a_task_runs_again(patient_batch, tmp_path, try_number):
    batch = patient_batch
    options = {"store": str(tmp_path / "store.json"), "leads": batch.leads}
    on_their_way = kill(batch, batch.start_kind("hook_in_a_task", try_number=1, **options))
    batch.start_kind("hook_in_a_task", try_number=try_number, **options)
    statuses = batch.finish()
    check(batch, on_their_way)
    assert set(statuses) == {str(lead) for lead in batch.leads}


def test_a_suspended_hook_reads_what_others_did_before_it_sends(batch, tmp_path):
    store = str(tmp_path / "store.json")
    process = batch.start_kind("hook_in_a_task", try_number=1, store=store, leads=batch.leads)
    batch.wait_for_posts(10)
    os.kill(process, signal.SIGSTOP)
    time.sleep(QUICK["timeout"] + QUICK["settle_time"])
    others = [lead for lead in batch.leads if lead not in batch.sandbox.conversion_counts]
    for lead in others:
        batch.sandbox.add_conversion(lead)
    time.sleep(MAX_GAP)
    os.kill(process, signal.SIGCONT)
    batch.end(process)
    counts = batch.sandbox.conversion_counts
    assert others
    assert sum(counts[lead] - 1 for lead in batch.leads) <= CONCURRENCY


@pytest.mark.slow
@pytest.mark.parametrize("suspended", [False, True], ids=["running", "suspended"])
def test_a_zombie_stops_before_its_successor_sends(slow_batch, suspended):
    batch, response = slow_batch, slow_batch.path.with_name("zombie")
    zombie = batch.start("run", 1, batch.path, response=response, lease_seconds=LEASE_SECONDS, shares_locks=False)
    batch.wait_for_posts(20)
    if suspended:
        os.kill(zombie, signal.SIGSTOP)
    successor = batch.start("run", 2, batch.path, lease_seconds=LEASE_SECONDS, shares_locks=False)
    if suspended:
        batch.wait_for_posts(50)
        os.kill(zombie, signal.SIGCONT)
    error = batch.end(zombie, response)
    assert "ConcurrentRunError: another process continues this run" in error
    assert f"process {successor} on" in error
    batch.finish(successor)
    counts = batch.sandbox.conversion_counts
    doubles = [lead for lead in batch.leads if counts[lead] > 1]
    assert len(doubles) <= (CONCURRENCY if suspended else 0)
    assert set(counts) >= set(batch.leads)
    assert set(batch.path.parent.iterdir()) == {batch.path, batch.response, response}


def test_the_child_of_a_running_bulk_sends_nothing_and_ends(batch):
    batch.start_kind("bulk_with_a_fork", leads=batch.leads, forks_after=30)
    ended = batch.finish()
    batch.check()
    assert ended["child"] == 3
    assert set(ended["statuses"].values()) == {"converted"}


def test_children_convert_with_a_client_that_their_parent_has_used(batch):
    batch.start_kind("forked_bulks", leads=batch.leads)
    assert batch.finish() == [0, 0]
    batch.check()
