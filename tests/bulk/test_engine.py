"""The engine on the simulated clock: what it does when, how many requests, how fast."""

from __future__ import annotations

import json
import logging
import re

import pytest

from airflow_provider_leadconv.api.exceptions import ConnectionConfigError, InvalidResponseError, LeadConversionError
from airflow_provider_leadconv.bulk.inputs import read_leads
from airflow_provider_leadconv.bulk.run import BulkRun
from airflow_provider_leadconv.bulk.sending import sender
from airflow_provider_leadconv.bulk.sending_marker import ConstantMarker
from airflow_provider_leadconv.sandbox import Fault
from airflow_provider_leadconv.sandbox.settings import FixedWindow, TokenBucket
from tests.support.bulk_simulation import Disk, Server, SimulatedWorkers, World, convert, job_of, methods, words
from tests.support.responses import HTML, envelope, response


@pytest.fixture
def world():
    return World()


# Nothing to send


def test_an_empty_batch(world):
    server = Server(world, leads=0, conversions=30)
    result = convert(server, [])
    assert (result.run.summary.leads, result.lines, methods(server)) == (0, [], ["GET", "GET"])


def test_nothing_is_sent_when_all_are_converted(world):
    server = Server(world, leads=0, conversions=30)
    result = convert(server, [row.lead_id for row in server.store.conversions])
    assert set(result.statuses.values()) == {"existing"}
    assert methods(server) == ["GET", "GET"]


# While leads are sent


@pytest.mark.parametrize(("limit", "least"), [(TokenBucket, 9.0), (FixedWindow, 9.0)])
def test_pace(world, limit, least):
    server = Server(world, leads=1500, conversions=30, latency=(0.45, 0.5), limit=limit(10.0))
    result = convert(server, server.store.leads, concurrency=8, requests_per_second=10.0)
    assert set(result.statuses.values()) == {"converted"}
    sent = [moment for moment, method, status in server.log if method == "POST" and status == 200]
    assert len(sent) / (sent[-1] - sent[0]) >= least
    summary = result.run.summary
    assert summary.converted / (summary.duration_s - summary.precheck_duration_s) >= least * 0.98


def test_throttling_by_409_lowers_the_rate_and_does_not_end_the_run(world):
    # For a conversion a 409 proves nothing, so each is an unknown outcome. A lower rate keeps them few.
    server = Server(world, leads=300, latency=(0.3, 0.5), limit=TokenBucket(5.0), throttled=409)
    result = convert(server, server.store.leads, concurrency=8, requests_per_second=10.0)
    assert set(result.statuses.values()) == {"converted"}
    assert max(server.counts().values()) == 1
    assert len(server.log) <= 1.2 * 300


@pytest.mark.slow
def test_pace_of_a_long_run(world):
    server = Server(world, leads=20_000, conversions=30, latency=(0.45, 0.5), limit=TokenBucket(10.0))
    result = convert(server, server.store.leads, concurrency=8, requests_per_second=10.0)
    summary = result.run.summary
    assert summary.converted / (summary.duration_s - summary.precheck_duration_s) >= 9.0


def test_a_rate_at_which_no_lead_could_be_sent_is_an_error_before_the_first_request(world):
    server = Server(world, leads=2)
    with pytest.raises(ConnectionConfigError, match=r"requests_per_second is 0.019, which is too low for a bulk"):
        convert(server, server.store.leads, requests_per_second=0.019)
    assert methods(server) == []


# While leads are still being checked


@pytest.mark.parametrize("option", ["dry_run", "precondition"])
def test_nothing_is_sent_before_all_leads_are_checked_if_that_decides(world, option):
    server = Server(world, leads=30, conversions=40_000, latency=(0.2, 0.25))
    result = convert(server, server.store.leads, **{option: True})
    sent = [moment for moment, method, _ in server.log if method == "POST"]
    assert bool(sent) == (option == "precondition")
    assert all(moment > result.run.summary.precheck_duration_s for moment in sent)


def test_a_precheck_that_is_stopped_ends(world):
    server = Server(world, leads=40, conversions=40_000)
    job = job_of(server, concurrency=4)
    world.at(2.0, job.stop)
    list(job.precheck())
    assert 2.0 <= world.now < 5.0
    assert set(words(job.convert()).values()) == {"not_attempted"}


@pytest.mark.parametrize("option", ["dry_run", "precondition"])
def test_a_precheck_ends_if_the_head_cannot_be_read_after_a_suspension(world, option):
    # Late enough for the walk to have ended: only look-ups go on, and they succeed.
    server = Server(world, leads=300, conversions=40_000)

    def suspend():
        world.now += 60.0
        server.on_request = lambda request: None if "lead_id" in request.query else response(200, HTML)

    world.at(28.0, suspend)
    with pytest.raises(InvalidResponseError):
        convert(server, server.store.leads, **{option: True})
    assert "POST" not in methods(server)


def test_a_retry_whose_precheck_fails_leaves_the_journal_to_the_next(world):
    server, disk = Server(world, leads=100, conversions=40_000, latency=(0.2, 0.25)), Disk()
    leads = server.store.leads
    assert convert(server, leads, disk, kill_after=12.0).killed
    world.at(
        world.now + 35.0, lambda: setattr(server.service.injector, "faults", [Fault(name="html_200", method="GET")])
    )
    second = convert(server, leads, disk)
    assert second.run.stopped_by
    assert second.run.summary.converted > 0
    assert "results.jsonl" not in disk.files
    server.service.injector.faults = []
    assert set(convert(server, leads, disk).statuses.values()) == {"converted"}
    assert max(server.counts().values()) == 1


def test_no_lead_is_checked_before_the_wait_for_an_earlier_process_is_over(world):
    server = Server(world, leads=20, conversions=40_000)
    convert(server, server.store.leads, is_resumed=True)
    assert server.log[0][0] >= 15.0


# Ends


def test_an_api_that_is_gone_ends_the_run(world):
    server = Server(world, leads=50)
    world.at(4.0, lambda: setattr(server.service.injector, "faults", [Fault(name="error_503", method="GET")]))
    server.service.injector.faults = [Fault(name="drop_after", share=0.5)]
    result = convert(server, server.store.leads, requests_per_second=2.0)
    assert isinstance(result.run.stopped_by, LeadConversionError)
    counts = server.counts()
    for lead, status in result.statuses.items():
        if status != "unknown":
            assert counts.get(lead, 0) == (status == "converted")


def test_an_unexpected_error_is_raised_and_leaves_the_results(world, monkeypatch):
    server = Server(world, leads=20)
    disk = Disk()
    calls = []

    def attempt(client, lead, *, look_up_first, may_send):
        calls.append(lead.lead_id)
        if len(calls) == 7:
            client.post(lead)
            raise ZeroDivisionError
        return original(client, lead, look_up_first=look_up_first, may_send=may_send)

    original = sender.send_conversion
    monkeypatch.setattr(sender, "send_conversion", attempt)
    leads = server.store.leads
    with pytest.raises(ZeroDivisionError):
        convert(server, leads, disk)
    records = [json.loads(line) for line in disk.journal_bytes.splitlines()]
    lines = [record["line"] for record in records if record["record"] == "result"]
    reported = {line["lead_id"]: line["status"] for line in lines}
    assert set(reported) == set(leads)
    assert reported[calls[6]] == "unknown"
    counts = server.store.conversion_counts
    assert all(counts.get(lead, 0) == (word == "converted") for lead, word in reported.items() if word != "unknown")
    # And the next try finds out.
    result = convert(server, leads, disk, is_resumed=True)
    assert set(result.statuses.values()) == {"converted"}
    assert max(server.counts().values()) == 1


def test_stopping_resolves_requests_in_flight_and_unknown_outcomes(world):
    server = Server(world, leads=40, faults=[Fault(name="drop_after", share=0.5)])
    job = job_of(server, concurrency=4)
    list(job.precheck())
    results = {}
    for result in job.convert():
        results[result.lead_id] = str(result.status)
        if len(results) == 5:
            job.stop()
    counts = server.counts()
    assert {lead: "converted" if counts.get(lead) else "not_attempted" for lead in results} == results
    assert len(results) == 40
    assert list(results.values()).count("converted") <= 20


@pytest.mark.parametrize("moment", [0.0, 0.3, 1.0, 3.0, 5.0])
def test_a_kill_ends_the_run_at_once(world, moment):
    server = Server(world, leads=40, conversions=900, faults=[Fault(name="stall", seconds=9, share=0.3)])
    disk = Disk()
    batch = server.store.leads
    killed = []

    def kill(run):
        killed.append(world.now)
        run.kill()

    world.start_process()
    results = disk.results(read_leads(batch))
    workers = SimulatedWorkers(world)
    run = BulkRun(
        server.client(), read_leads(batch), results, workers=workers, marker=ConstantMarker(is_set=moment == 0.3)
    )
    world.at(moment, lambda: kill(run))
    run.run()
    assert world.now == killed[0]
    assert "results.jsonl" not in disk.files
    summary = run.summary
    assert summary.converted + summary.unknown + summary.not_attempted == 40
    assert run.failure(run.summary.leads) is not None


def test_closing_the_generator_early_sends_nothing_more(world):
    server = Server(world, leads=40)
    job = job_of(server, concurrency=3)
    list(job.precheck())
    results = job.convert()
    next(results)
    results.close()
    job.close()
    world.run_until(world.now + 100, lambda: False)
    assert methods(server).count("POST") <= 1 + 3


# Resumed runs


def test_the_progress_of_a_retry_counts_the_results_of_earlier_tries(world, caplog):
    caplog.set_level(logging.INFO)
    server = Server(world, leads=500, limit=TokenBucket(10))
    leads, disk = server.store.leads, Disk()
    convert(server, leads, disk, kill_after=20.0)
    caplog.clear()
    convert(server, leads, disk, is_resumed=True)
    found = (re.search(r" (\d+) of 500 leads \((\d+) by an earlier attempt", line) for line in caplog.messages)
    done, kept = map(int, next(filter(None, found)).groups())
    assert 100 < kept < done < 500


def test_leads_converted_by_hand_between_two_tries_are_existing(world):
    server = Server(world, leads=6, conversions=30)
    disk = Disk()
    batch = server.store.leads
    refused = batch[-1]
    refusal = response(422, envelope("422 Unprocessable Entity", "incorrect_value"))
    server.on_request = lambda request: refusal if f'"lead_id":{refused}' in str(request.body) else None
    assert convert(server, batch, disk).statuses[refused] == "failed"
    server.on_request = lambda request: None
    server.store.add_conversion(refused)
    result = convert(server, batch, disk, is_resumed=True)
    assert result.statuses == {**dict.fromkeys(batch, "converted"), refused: "existing"}
    assert result.run.summary.converted == 5


# The log


def test_a_progress_line_is_logged_at_least_every_15_seconds(world, caplog):
    caplog.set_level(logging.INFO)
    reported = [0.0]
    handler = logging.Handler()
    handler.emit = lambda record: reported.append(world.now)
    logging.getLogger("airflow_provider_leadconv").addHandler(handler)
    faults = [Fault(name="drop_after", share=0.1)]
    server = Server(world, leads=100, conversions=30_000, latency=(0.5, 0.9), faults=faults)
    try:
        convert(server, server.store.leads, requests_per_second=2.0, is_resumed=True)
    finally:
        logging.getLogger("airflow_provider_leadconv").removeHandler(handler)
    gaps = [later - earlier for earlier, later in zip(reported, [*reported[1:], world.now], strict=True)]
    assert max(gaps) <= 15.5
    assert "93 %, 1 s left: waiting for in-flight requests of the previous attempt" in caplog.text
    assert re.search(r"\d+ %, \d+ (s|min) left: \d+ of 100 leads \(.* to check\); .* 0 requests throttled", caplog.text)
