"""The simulation finds nothing wrong, and it would: bugs that are planted on purpose are found."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace

import msgspec
import pytest

from airflow_provider_leadconv.api.at_most_once import PendingLookup
from airflow_provider_leadconv.api.models import ConversionStatus
from airflow_provider_leadconv.bulk.checking import cleared_leads
from airflow_provider_leadconv.bulk.engine import BulkConversion
from airflow_provider_leadconv.bulk.ledger import Ledger
from airflow_provider_leadconv.bulk.outputs.records import SendingRecord
from airflow_provider_leadconv.bulk.outputs.results import JournalMarker, Results
from airflow_provider_leadconv.bulk.sending import head_reader
from airflow_provider_leadconv.bulk.sending.head_reader import HeadReader
from airflow_provider_leadconv.sandbox.faults import Fault
from airflow_provider_leadconv.storage.lease import Lease
from tests.support.simulation import __main__ as command
from tests.support.simulation.plan import SETTLE, TIMEOUT, Attempt, Interruption, Moment, Plan
from tests.support.simulation.run import run_plan, simulate, try_seed

LATE = Fault(name="late_commit", seconds=TIMEOUT - 1)
QUICK = range(60)
MANY = range(1000)


def test_some_seeds():
    assert [failed for failed in map(try_seed, QUICK) if failed[1]] == []


@pytest.mark.slow
def test_many_seeds():
    assert command.main(["--seeds", str(len(MANY))]) == 0


def test_a_seed_has_one_history():
    first, second = simulate(3), simulate(3)
    assert first.history.lines == second.history.lines
    assert first.history.lines != simulate(4).history.lines


def test_a_replay_prints_the_timeline(capsys):
    assert command.main(["--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert "P0            starts: try 1 of run 0" in out
    assert "seed 3: nothing wrong" in out


def test_a_failure_names_its_seed_and_how_to_replay_it(capsys, monkeypatch):
    monkeypatch.setattr(command, "get_context", lambda _: SimpleNamespace(Pool=_InThisProcess))
    monkeypatch.setattr(Ledger, "_is_of_earlier_process", lambda *_: False)
    assert command.main(["--seeds", "1000"]) == 1
    out = capsys.readouterr().out
    seed = int(out.split()[1].rstrip(":"))
    assert f"make simulate SEED={seed}" in out
    assert command.main(["--seed", str(seed)]) == 1


class _InThisProcess:
    """In place of a pool, whose processes would not have the bug that is planted."""

    def __init__(self, _):
        self.imap = lambda work, items, chunksize: map(work, items)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


# Bugs planted on purpose


def looks_at_once(monkeypatch):
    """A lead whose outcome is unknown is looked up at once, and sent again if it is not found."""
    original = PendingLookup.after_unknown.__func__

    def after_unknown(cls, error, previous, *, config, now):
        return msgspec.structs.replace(original(cls, error, previous, config=config, now=now), resolve_at=now)

    monkeypatch.setattr(PendingLookup, "after_unknown", classmethod(after_unknown))


def ignores_the_sending_record(monkeypatch):
    monkeypatch.setattr(JournalMarker, "is_set", lambda _: False)


def takes_own_conversions_for_others(monkeypatch):
    monkeypatch.setattr(Ledger, "_is_of_earlier_process", lambda *_: False)


def sends_on_after_a_suspension(monkeypatch):
    def check_suspension(self):
        self.known_suspensions = self._dispatcher.suspensions

    monkeypatch.setattr(HeadReader, "check_suspension", check_suspension)


def records_resolved_before_the_conversions_are_listed(monkeypatch):
    monkeypatch.setattr(Ledger, "is_settled", property(lambda self: not self.statuses[ConversionStatus.UNKNOWN]))


def overwrites_results_without_a_precheck(monkeypatch):
    monkeypatch.setattr(Results, "must_resume", property(lambda self: self.unfinished and not self._own_precheck_done))


def goes_on_beside_its_successor(monkeypatch):
    monkeypatch.setattr(Lease, "confirm", lambda _, *, now=False: None)


def trusts_a_clearance_for_ever(monkeypatch):
    monkeypatch.setattr(cleared_leads, "MAX_CLEARANCE_AGE", inf)
    monkeypatch.setattr(head_reader, "HEAD_INTERVAL", inf)


def sends_before_the_start_watermark_is_on_record(monkeypatch):
    original = Results._append

    def append(self, record):
        original(self, msgspec.structs.replace(record, start_watermark=None) if _is_sending(record) else record)

    monkeypatch.setattr(Results, "_append", append)


def _is_sending(record):
    return isinstance(record, SendingRecord)


def clears_leads_before_the_wait_is_over(monkeypatch):
    original, wait = BulkConversion.convert, BulkConversion._wait_for_in_flight_requests

    def convert(self):
        yield from self.precheck()
        wait(self)
        yield from original(self)

    monkeypatch.setattr(BulkConversion, "_wait_for_in_flight_requests", lambda _: None)
    monkeypatch.setattr(BulkConversion, "convert", convert)


BUGS = [
    looks_at_once,
    ignores_the_sending_record,
    takes_own_conversions_for_others,
    sends_on_after_a_suspension,
    records_resolved_before_the_conversions_are_listed,
    overwrites_results_without_a_precheck,
    goes_on_beside_its_successor,
]


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found(bug, monkeypatch):
    bug(monkeypatch)
    found = next((failed for failed in map(try_seed, MANY) if failed[1]), None)
    assert found, f"{bug.__name__} is not found by {len(MANY)} seeds"
    print(f"{bug.__name__}: seed {found[0]}: {found[1][0]}")


# Plans that once went wrong


def when(post, phase):
    return Moment(None, post, phase)


def attempt(rerun="retry", *interruptions, faults=(), late_visibility=0.0):
    return Attempt(rerun, 0.0, list(faults), late_visibility, list(interruptions))


def plan(*attempts, **changes):
    values = {
        "seed": 0,
        "leads": 6,
        "bad_leads": 0,
        "converted_before": 0,
        "conversions": 3,
        "second_conversion": "new",
        "task": "operator",
        "keeps_state": True,
        "loses_state": False,
        "object_store": False,
        "concurrency": 2,
        "requests_per_second": 10.0,
        "limit": None,
        "latency": (0.05, 0.5),
        "others": [],
        "attempts": [*attempts, attempt()],
    }
    return Plan(**values | changes)


def interruption(kind, moment, seconds=0.0, *, raises=False):
    return Interruption(kind, moment, seconds, raises)


def last_statuses(simulation):
    assert simulation.violations == []
    return {status for status, _ in simulation.history.outcomes[-1].results.values()}


PLANS_OF_BUGS = {
    # Others convert everything that is left while one request after the other is answered slowly.
    trusts_a_clearance_for_ever: lambda: plan(
        leads=20, concurrency=1, latency=(9.0, 9.0), others=[(15.0, position) for position in range(20)]
    ),
    # Killed after its first conversion, before the pre-check of a long changefeed is complete.
    sends_before_the_start_watermark_is_on_record: lambda: plan(
        attempt("retry", interruption("kill", when(1, "answered"))), leads=12, conversions=3000
    ),
    clears_leads_before_the_wait_is_over: lambda: plan(
        attempt("retry", interruption("kill", when(4, "arrived")), faults=[LATE])
    ),
}


@pytest.mark.parametrize("bug", PLANS_OF_BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_found_by_its_plan(bug, monkeypatch):
    assert run_plan(PLANS_OF_BUGS[bug]()).violations == []
    bug(monkeypatch)
    assert run_plan(PLANS_OF_BUGS[bug]()).violations


@pytest.mark.parametrize("raises", [True, False])
@pytest.mark.parametrize("object_store", [True, False])
def test_killed_then_terminated_while_it_waits_then_retried(raises, object_store):
    killed = attempt("retry", interruption("kill", when(4, "arrived")), faults=[LATE])
    terminated = attempt("retry", interruption("terminate", Moment(3.0, 0, ""), raises=raises))
    simulation = run_plan(plan(killed, terminated, object_store=object_store))
    assert last_statuses(simulation) == {"converted"}
    assert {made.post.process for made in simulation.history.made} == {0, 2}


def test_unknown_leads_stay_so_if_the_precheck_of_the_next_try_fails():
    stopped = attempt("retry", interruption("revoke the token", when(2, "arrived")), faults=[LATE])
    failed = attempt("retry", interruption("outage", Moment(0.0, 0, ""), 200.0))
    simulation = run_plan(plan(stopped, failed), with_log=True)
    assert last_statuses(simulation) == {"converted"}
    lines = simulation.history.lines
    assert [who for _, who, text in lines if text.startswith("log: Waiting 15 s")] == ["P1", "P2"]


@pytest.mark.parametrize("rerun", ["clear", "reschedule"])
def test_a_hook_runs_again_before_its_conversions_are_visible(rerun):
    first = attempt(faults=[Fault(name="late_visible", seconds=SETTLE - 0.6)])
    simulation = run_plan(plan(first, attempt(rerun), task="hook"))
    assert last_statuses(simulation) == {"existing"}


@pytest.mark.parametrize("seconds", [7.0, 20.0, 3600.0])
@pytest.mark.parametrize("task", ["operator", "hook"])
def test_a_request_that_was_sent_after_a_suspension_is_waited_for_from_then_on(task, seconds):
    late = Fault(name="late_commit", seconds=TIMEOUT - 0.6)
    suspended = attempt("retry", interruption("suspend", when(1, "sending"), seconds), faults=[late], late_visibility=4)
    simulation = run_plan(plan(suspended, task=task, leads=1, concurrency=1))
    assert simulation.violations == []
    assert len(simulation.history.made) == 1


def test_the_audit_waits_for_a_request_that_was_sent_after_a_suspension():
    suspended = attempt("retry", interruption("suspend beside a successor", when(1, "sending")), faults=[LATE])
    simulation = run_plan(plan(suspended, task="hook", leads=1, concurrency=1))
    assert simulation.violations == []
    assert len(simulation.history.made) == 2
    assert simulation.history.audits[0] == {made.lead_id for made in simulation.history.made}


@pytest.mark.parametrize("object_store", [True, False])
def test_a_new_run_over_results_waits_for_a_killed_retry(object_store):
    stopped = attempt("retry", interruption("revoke the token", when(1, "answered")))
    killed = attempt("retry", interruption("kill", when(3, "arrived")), faults=[LATE])
    simulation = run_plan(
        plan(stopped, killed, attempt("new run over the results"), object_store=object_store, latency=(0.05, 0.1))
    )
    assert last_statuses(simulation) <= {"converted", "existing"}
    assert any(text.startswith("new run over the results") for _, _, text in simulation.history.lines)
