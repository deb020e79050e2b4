"""A bulk run: what its numbers mean for the task, and what its error says."""

from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError, LeadsNotConvertedError
from airflow_provider_leadconv.bulk.inputs import read_leads
from airflow_provider_leadconv.bulk.run import BulkRun, allowed_failures
from tests.support.bulk_simulation import TOKEN, Disk, Server, SimulatedWorkers, World, convert


@pytest.fixture
def server():
    return Server(World(), leads=16)


def batch_of(server, failures=4):
    return [*server.store.leads, *server.store.add_leads(failures, convertible=False)]


@pytest.mark.parametrize(
    ("max_failures", "rate", "leads", "allowed"),
    [
        (0, None, 100, 0),
        (5, None, 100, 5),
        (1, None, 100, 1),
        (None, None, 9, 9),
        (0, 0, 100, 0),
        (0, 0.05, 100, 5),
        (0, 0.29, 100, 29),
        (0, 0.015, 100, 1),
        (0, 1, 7, 7),
        (0, 1.0, 7, 7),
    ],
)
def test_how_many_may_fail(max_failures, rate, leads, allowed):
    assert allowed_failures(leads, max_failures, rate) == allowed


@pytest.mark.parametrize(("allowed", "fails"), [(0, True), (3, True), (4, False), (20, False)])
def test_the_policy(server, allowed, fails, caplog):
    run = convert(server, batch_of(server)).run
    error = run.failure(allowed)
    assert isinstance(error, LeadsNotConvertedError) is fails
    warnings = [record.getMessage().splitlines() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == (not fails), "what is tolerated is said"
    for first, *reasons in warnings:
        assert first == (
            f"Up to {allowed} failures are tolerated: 4 of 20 leads were not converted: 4 x 422 incorrect_value lead_id"
        )
        assert len(reasons) == 4
    assert run.summary.converted == 16  # every lead had its turn


@pytest.mark.parametrize("allowed", [0, 2])
def test_fail_fast_stops_at_the_first_failure_too_many(server, allowed):
    failing = server.store.add_leads(4, convertible=False)
    run = convert(server, [*failing, *server.store.leads], fail_fast=allowed, concurrency=1).run
    summary = run.summary
    assert (summary.failed, summary.converted, summary.not_attempted) == (allowed + 1, 0, 19 - allowed)
    assert "19 of 20 leads were not attempted: the run was stopped" in str(run.failure(20)) or allowed
    assert run.failure(20) is not None


def test_not_attempted_leads_fail_the_run_whatever_max_failures_is(server):
    server.service.access.add(TOKEN, ("read",), 1)
    error = convert(server, batch_of(server)).run.failure(20)
    assert str(error) == (
        "20 of 20 leads were not attempted: the API answered 403: insufficient_scope: "
        "The access token does not have the required scope 'write' (POST /v2/lead_conversions, request id id). "
        "Create a token with the scope it lacks: reading needs 'read', converting needs 'read' and 'write'. "
        "Running it again converts only leads that are not converted yet."
    )


def test_a_precondition(server):
    leads = server.store.leads
    server.store.add_conversion(leads[3])
    disk = Disk()
    with pytest.raises(InvalidRequestError, match=r"1 of 16 leads are already converted, and on_existing='fail'"):
        convert(server, leads, disk, precondition=True)
    reported = [json.loads(line)["status"] for line in disk.files["results.jsonl"].splitlines()]
    assert reported == ["not_attempted"] * 3 + ["existing"] + ["not_attempted"] * 12
    assert "POST" not in [method for _, method, _ in server.log]
    # A later try is not bound by it: an earlier one may have converted leads.
    assert convert(server, leads, disk, precondition=True, is_resumed=True).run.summary.converted == 15


def test_a_precondition_that_holds(server):
    assert convert(server, server.store.leads, precondition=True).run.summary.converted == 16


def test_a_dry_run_converts_nothing(server):
    leads = server.store.leads
    server.store.add_conversion(leads[3])
    result = convert(server, leads, dry_run=True)
    assert list(result.statuses.values()) == ["would_convert"] * 3 + ["existing"] + ["would_convert"] * 12
    assert "POST" not in [method for _, method, _ in server.log]
    assert (result.run.summary.would_convert, result.run.summary.existing) == (15, 1)
    assert result.run.failure(0) is None


def test_without_results_the_results_are_counted_all_the_same(server):
    server.world.start_process()
    batch = read_leads(server.store.leads)
    run = BulkRun(server.client(), batch, workers=SimulatedWorkers(server.world))
    run.run()
    assert run.summary.converted == 16
