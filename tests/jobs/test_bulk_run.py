"""The verdict: what a run's numbers mean for the task, and what is told."""

from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.api.errors import InvalidRequestError, LeadsNotConvertedError
from airflow_provider_leadconv.api.records import ConversionOutcome, Outcome
from airflow_provider_leadconv.jobs.bulk_run import BulkRun, Summary, allowed_failures
from airflow_provider_leadconv.jobs.leads import read_leads

from .bulk_simulation import TOKEN, Disk, Server, SimulatedWorkers, World, convert


@pytest.fixture
def server():
    return Server(World(), leads=16)


def batch_of(server, failures=4):
    return [*server.store.leads, *server.store.add_leads(failures, convertible=False)]


@pytest.mark.parametrize(
    ("max_failures", "leads", "allowed"),
    [
        (0, 100, 0),
        (5, 100, 5),
        (1, 100, 1),
        (0.05, 100, 5),
        (0.29, 100, 29),
        (0.015, 100, 1),
        (1.0, 7, 7),
        (None, 9, 9),
    ],
)
def test_how_many_may_fail(max_failures, leads, allowed):
    assert allowed_failures(max_failures, leads) == allowed


@pytest.mark.parametrize(
    ("max_failures", "fails"), [(0, True), (3, True), (4, False), (0.19, True), (0.2, False), (None, False)]
)
def test_the_policy(server, max_failures, fails):
    run = convert(server, batch_of(server)).run
    error = run.verdict(max_failures)
    assert isinstance(error, LeadsNotConvertedError) is fails
    assert run.summary.converted == 16  # every lead had its turn


@pytest.mark.parametrize("allowed", [0, 2])
def test_fail_fast_stops_at_the_first_failure_too_many(server, allowed):
    failing = server.store.add_leads(4, convertible=False)
    run = convert(server, [*failing, *server.store.leads], fail_fast=allowed, concurrency=1).run
    summary = run.summary
    assert (summary.failed, summary.converted, summary.not_attempted) == (allowed + 1, 0, 19 - allowed)
    assert "19 of 20 leads were not attempted: the run was stopped" in str(run.verdict(None)) or allowed
    assert run.verdict(None) is not None


def test_what_is_not_attempted_is_a_failure_whatever_may_fail(server):
    server.service.access.add(TOKEN, ("read",), 1)
    error = convert(server, batch_of(server)).run.verdict(None)
    assert str(error) == (
        "20 of 20 leads were not attempted: POST /v2/lead_conversions: the API answered 403: insufficient_scope: "
        "The access token does not have the required scope 'write' (request id id). "
        "Give the token the scope it lacks (reading needs 'read', converting needs 'read' and 'write'), "
        "or ask a Sell administrator for the right to these leads. "
        "Running it again converts only leads that are not converted yet."
    )


def test_a_precondition(server):
    leads = server.store.leads
    server.store.add_conversion(leads[3])
    disk = Disk()
    with pytest.raises(InvalidRequestError, match=r"1 of 16 leads are converted already, which on_existing='fail'"):
        convert(server, leads, disk, precondition=True)
    told = [json.loads(line)["outcome"] for line in disk.files["results.jsonl"].splitlines()]
    assert told == ["not_attempted"] * 3 + ["existing"] + ["not_attempted"] * 12
    assert "POST" not in [method for _, method, _ in server.log]
    # A later try goes on: what is converted by then may be the work of an earlier one.
    assert convert(server, leads, disk, precondition=True, goes_on=True).run.summary.converted == 15


def test_a_precondition_that_holds(server):
    assert convert(server, server.store.leads, precondition=True).run.summary.converted == 16


def test_a_dry_run_converts_nothing(server):
    leads = server.store.leads
    server.store.add_conversion(leads[3])
    result = convert(server, leads, dry_run=True)
    assert list(result.outcomes.values()) == ["would_convert"] * 3 + ["existing"] + ["would_convert"] * 12
    assert "POST" not in [method for _, method, _ in server.log]
    assert (result.run.summary.would_convert, result.run.summary.existing) == (15, 1)
    assert result.run.verdict(0) is None


def test_the_error_names_counts_by_code_and_the_first_ten_leads(server):
    refused = server.store.add_leads(9, convertible=False)
    owned = [{"lead_id": lead, "owner_id": 5} for lead in server.store.add_leads(2)]
    run = convert(server, [*refused, *owned, 7, 8], concurrency=1).run
    lines = str(run.verdict(0)).splitlines()
    assert lines[0] == (
        "13 of 13 leads were not converted: "
        "9 x 422 incorrect_value lead_id, 2 x 422 incorrect_value owner_id, 2 x 404 not_found"
    )
    cannot = "the API answered 422: /data/lead_id: incorrect_value: The lead cannot be converted"
    assert lines[1:10] == [f"  lead {lead} failed: {cannot}" for lead in refused]
    assert lines[10].startswith(f"  lead {owned[0]['lead_id']} failed: the API answered 422: /data/owner_id")
    assert lines[11] == "  and 3 more. Running it again converts only leads that are not converted yet."


def test_long_reasons_are_cut(server):
    run = convert(server, []).run
    for lead in range(10_000):
        error = InvalidRequestError("x" * 5000, status=422, code=f"code_{lead}")
        run._keep([])
        run.summary.failed += 1
        run._note(ConversionOutcome(lead_id=lead + 1, outcome=Outcome.FAILED, error=error))
    assert len(str(run.verdict(0))) < 4000


def test_a_summary_says_what_there_is_to_say():
    assert str(Summary(leads=5, converted=3, not_attempted=2, api_calls=9, duration_s=1.26)) == (
        "5 leads: 3 converted, 2 not attempted; 9 requests in 1.3 s"
    )
    assert str(Summary(leads=0)) == "0 leads: nothing to do; 0 requests in 0.0 s"
    assert "2 CONVERTED TWICE" in str(Summary(leads=2, converted=2, duplicate=2))


def test_without_results_the_outcomes_are_counted_all_the_same(server):
    server.world.start_process()
    batch = read_leads(server.store.leads)
    run = BulkRun(server.client(), batch, workers=SimulatedWorkers(server.world))
    run.run()
    assert run.summary.converted == 16
