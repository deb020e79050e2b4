"""The engine on the simulated clock: what it does when, how many requests, how fast."""

from __future__ import annotations

import json
import logging
import re
from functools import partial
from math import ceil

import pytest

from airflow_provider_leadconv.api.errors import LeadConversionError, UnavailableError
from airflow_provider_leadconv.api.messages import Answer
from airflow_provider_leadconv.jobs import bulk
from airflow_provider_leadconv.jobs.bulk import BulkConversion
from airflow_provider_leadconv.jobs.bulk_run import BulkRun
from airflow_provider_leadconv.jobs.leads import read_leads
from airflow_provider_leadconv.sandbox import Fault
from airflow_provider_leadconv.sandbox.ratelimits import FixedWindow, TokenBucket

from .bulk_simulation import TOKEN, Disk, Server, SimulatedWorkers, World, convert


@pytest.fixture
def world():
    return World()


def methods(server):
    return [method for _, method, _ in server.log]


def job_of(server, leads=None, **options):
    workers = SimulatedWorkers(server.world)
    server.world.start_process()
    leads = read_leads(server.store.leads if leads is None else leads)
    return BulkConversion(server.client(settle_time=5.0), leads, workers=workers, **options)


def words(outcomes):
    return {outcome.lead_id: str(outcome.outcome) for outcome in outcomes}


# The first look


def test_the_log_is_walked_for_as_many_pages_as_there_are_leads_and_the_rest_is_looked_up(world):
    server = Server(world, leads=0, conversions=1000)
    old = server.store.conversions[-1].lead_id
    new = server.store.conversions[0].lead_id
    job = job_of(server, [new, old, *server.store.add_leads(1)])
    assert words(job.look()) == {new: "existing", old: "existing"}
    assert len(server.log) == 3 + 2  # three pages, and two leads not found there
    assert job.ledger.start_mark == server.store.conversions[0].id


def test_the_walk_ends_when_every_lead_was_found(world):
    server = Server(world, leads=0, conversions=1000)
    leads = [row.lead_id for row in server.store.conversions[150:250]]
    assert len(words(job_of(server, leads).look())) == 100
    assert len(server.log) == 2


def test_the_walk_ends_with_the_log(world):
    server = Server(world, leads=500, conversions=350)
    assert list(job_of(server).look()) == []
    assert len(server.log) == 2


def test_an_empty_log_has_a_start_mark(world):
    job = job_of(Server(world, leads=2, conversions=0))
    assert list(job.look()) == []
    assert job.ledger.start_mark == 0
    assert set(words(job.convert()).values()) == {"converted"}


def test_an_empty_first_page_is_not_an_empty_log(world):
    server = Server(world, leads=3, conversions=30, faults=[Fault(name="empty_page", times=1)])
    job = job_of(server, [*server.store.leads, server.store.conversions[5].lead_id])
    assert set(words(job.look()).values()) == {"existing"}
    assert job.ledger.start_mark == server.store.conversions[0].id


def test_an_empty_batch(world):
    server = Server(world, leads=0, conversions=30)
    result = convert(server, [])
    assert (result.run.summary.leads, result.lines, methods(server)) == (0, [], ["GET", "GET"])


def test_nothing_is_sent_when_all_are_converted(world):
    server = Server(world, leads=0, conversions=30)
    result = convert(server, [row.lead_id for row in server.store.conversions])
    assert set(result.outcomes.values()) == {"existing"}
    assert methods(server) == ["GET", "GET"]


def test_the_head_that_follows_a_walk_that_stopped_early_goes_no_deeper(world, monkeypatch):
    monkeypatch.setattr(bulk, "HEAD_INTERVAL", 1.0)
    server = Server(world, leads=1, conversions=3000, latency=(1.0, 1.5))
    result = convert(server, server.store.leads)
    assert set(result.outcomes.values()) == {"converted"}
    # A page and a look-up; then the head, of two pages, each second while the lead is sent, and for the audit.
    assert methods(server)[:3] == ["GET", "GET", "POST"]
    assert methods(server).count("GET") <= 2 + 2 * 3


# While leads are sent


def test_so_many_requests_at_once_and_one_for_the_log(world):
    server = Server(world, leads=60)
    result = convert(server, server.store.leads, concurrency=5)
    assert 5 <= result.workers.most <= 6


def test_what_others_convert_meanwhile_is_dropped_from_the_queue(world):
    server = Server(world, leads=400, latency=(0.4, 0.5), second_conversion="new")
    last = server.store.leads[-10:]
    world.at(20.0, lambda: [server.store.add_conversion(lead) for lead in last])
    result = convert(server, server.store.leads, requests_per_second=8.0)
    assert [line["outcome"] for line in result.lines] == ["converted"] * 390 + ["existing"] * 10
    assert max(server.counts().values()) == 1


def test_two_hundred_doubts_are_settled_by_one_page(world):
    server = Server(world, leads=150, faults=[Fault(name="drop_after", times=150)])
    result = convert(server, server.store.leads, concurrency=20)
    assert set(result.outcomes.values()) == {"converted"}
    assert max(server.counts().values()) == 1
    assert methods(server).count("POST") == 150
    # The walk, one page for all the doubts, the audit.
    assert methods(server).count("GET") <= 1 + 2 + 1


def test_a_doubt_is_judged_no_earlier_than_timeout_and_settle_time(world):
    server = Server(world, leads=1, faults=[Fault(name="drop_before", method="POST", times=1)])
    convert(server, server.store.leads, settle_time=5.0)
    first, second = [moment for moment, method, _ in server.log if method == "POST"]
    assert 15.0 <= second - first <= 20.0
    judged = [moment for moment, method, _ in server.log if method == "GET" and first < moment < second]
    assert min(judged) >= first + 14.9  # sent at most 0.1 s before it arrived


def test_the_audit_waits_for_the_second_conversion_of_a_lead_that_was_sent_again(world):
    # Visible after 18 s breaks the promise of 15 s: nothing can prevent the double, but it is told.
    faults = [Fault(name="drop_after", times=1), Fault(name="late_visible", times=1, seconds=18.0)]
    server = Server(world, leads=1, faults=faults)
    result = convert(server, server.store.leads, settle_time=5.0)
    assert list(server.counts().values()).count(2) == result.run.summary.duplicate == 1


@pytest.mark.parametrize("look_first", [True, False])
def test_a_lead_in_doubt_is_looked_up_right_before_it_is_sent_again(world, look_first):
    server = Server(world, leads=1)
    world.start_process()
    workers = SimulatedWorkers(world)
    lead = read_leads(server.store.leads)[0]
    theirs = server.store.add_conversion(lead.lead_id)
    workers.submit(partial(bulk.attempt, server.client(), lead, look_first=look_first))
    found, answered = workers.next_ended(100).result()
    assert (found.id == theirs.id, answered) == (look_first, not look_first)
    assert methods(server) == (["GET"] if look_first else ["POST"])


@pytest.mark.parametrize(("limit", "floor"), [(TokenBucket, 9.0), (FixedWindow, 9.0)])
def test_pace(world, limit, floor):
    server = Server(world, leads=1500, conversions=30, latency=(0.45, 0.5), limit=limit(10.0))
    result = convert(server, server.store.leads, concurrency=8, requests_per_second=10.0)
    assert set(result.outcomes.values()) == {"converted"}
    sent = [moment for moment, method, status in server.log if method == "POST" and status == 200]
    assert len(sent) / (sent[-1] - sent[0]) >= floor
    summary = result.run.summary
    assert summary.converted / (summary.duration_s - summary.look_duration_s) >= floor * 0.98


def test_throttling_by_409_slows_down_and_is_no_end(world):
    # For a conversion a 409 proves nothing, so each costs a doubt. Going slower keeps them few.
    server = Server(world, leads=300, latency=(0.3, 0.5), limit=TokenBucket(5.0), throttled=409)
    result = convert(server, server.store.leads, concurrency=8, requests_per_second=10.0)
    assert set(result.outcomes.values()) == {"converted"}
    assert max(server.counts().values()) == 1
    assert len(server.log) <= 1.2 * 300


@pytest.mark.slow
def test_pace_of_a_long_run(world):
    server = Server(world, leads=20_000, conversions=30, latency=(0.45, 0.5), limit=TokenBucket(10.0))
    result = convert(server, server.store.leads, concurrency=8, requests_per_second=10.0)
    summary = result.run.summary
    assert summary.converted / (summary.duration_s - summary.look_duration_s) >= 9.0


def test_nobody_spins_while_the_head_cannot_be_read(world):
    server = Server(world, leads=300, latency=(0.5, 0.5))
    world.at(25.0, lambda: setattr(server.service.injector, "faults", [Fault(name="stall", method="GET", seconds=60)]))
    world.at(65.0, lambda: setattr(server.service.injector, "faults", []))
    result = convert(server, server.store.leads, requests_per_second=5.0)
    assert set(result.outcomes.values()) == {"converted"}
    # A wait for each request and each line, not one after the other without a pause.
    assert world.waits < 10 * len(server.log)
    assert result.workers.most <= 4 + 1  # one look at the head at a time


# How it ends


def test_a_token_that_may_not_convert_ends_the_run(world):
    server = Server(world, leads=50)
    server.service.access.add(TOKEN, ("read",), 1)
    result = convert(server, server.store.leads)
    assert set(result.outcomes.values()) == {"not_attempted"}
    assert result.run.stopped_by.code == "insufficient_scope"
    assert methods(server).count("POST") <= 4
    assert result.lines[0]["error"]["status"] == 403


def test_403_for_all_leads_ends_the_run(world, monkeypatch):
    server = Server(world, leads=100)
    answer = server._answer
    refusal = Answer(status=403, headers={}, body=b'{"errors":[{"error":{"code":"forbidden"}}]}')

    def forbid(request, token):
        return refusal if request.method == "POST" else answer(request, token)

    monkeypatch.setattr(server, "_answer", forbid)
    result = convert(server, server.store.leads, concurrency=4)
    told = list(result.outcomes.values())
    assert bulk.FORBIDDEN_AT_FIRST <= told.count("failed") <= bulk.FORBIDDEN_AT_FIRST + 4
    assert told.count("not_attempted") == 100 - told.count("failed")


def test_an_api_that_is_gone_ends_the_run(world):
    server = Server(world, leads=50)
    world.at(4.0, lambda: setattr(server.service.injector, "faults", [Fault(name="error_503", method="GET")]))
    server.service.injector.faults = [Fault(name="drop_after", share=0.5)]
    result = convert(server, server.store.leads, requests_per_second=2.0)
    assert isinstance(result.run.stopped_by, LeadConversionError)
    counts = server.counts()
    for lead, outcome in result.outcomes.items():
        if outcome != "unknown":
            assert counts.get(lead, 0) == (outcome == "converted")


def test_an_api_that_cannot_be_asked_at_first(world):
    server = Server(world, leads=5, faults=[Fault(name="error_503")])
    disk = Disk()
    with pytest.raises(UnavailableError):
        convert(server, server.store.leads, disk)
    assert disk.files["results.jsonl"].count(b'"not_attempted"') == 5
    assert "POST" not in methods(server)


def test_an_error_nobody_foresaw_surfaces_and_leaves_the_outcomes(world, monkeypatch):
    server = Server(world, leads=20)
    disk = Disk()
    calls = []

    def attempt(client, lead, *, look_first):
        calls.append(lead.lead_id)
        if len(calls) == 7:
            client.post(lead)
            raise ZeroDivisionError
        return original(client, lead, look_first=look_first)

    original = bulk.attempt
    monkeypatch.setattr(bulk, "attempt", attempt)
    leads = server.store.leads
    with pytest.raises(ZeroDivisionError):
        convert(server, leads, disk)
    told = {line["lead_id"]: line["outcome"] for line in map(json.loads, disk.journal_bytes.splitlines()[1:])}
    assert set(told) == set(leads)
    assert told[calls[6]] == "unknown"
    counts = server.store.conversion_counts
    assert all(counts.get(lead, 0) == (word == "converted") for lead, word in told.items() if word != "unknown")
    # And the next try finds out.
    result = convert(server, leads, disk, goes_on=True)
    assert set(result.outcomes.values()) == {"converted"}
    assert max(server.counts().values()) == 1


def test_stopping_settles_what_is_in_flight_and_in_doubt(world):
    server = Server(world, leads=40, faults=[Fault(name="drop_after", share=0.5)])
    job = job_of(server, concurrency=4)
    list(job.look())
    outcomes = {}
    for outcome in job.convert():
        outcomes[outcome.lead_id] = str(outcome.outcome)
        if len(outcomes) == 5:
            job.stop()
    counts = server.counts()
    assert {lead: "converted" if counts.get(lead) else "not_attempted" for lead in outcomes} == outcomes
    assert len(outcomes) == 40
    assert list(outcomes.values()).count("converted") <= 20


@pytest.mark.parametrize("moment", [0.0, 0.3, 1.0, 3.0, 8.0])
def test_a_kill_ends_it_at_once_whatever_it_does(world, moment):
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
    run = BulkRun(server.client(), read_leads(batch), results, workers=workers, may_follow_killed_run=moment == 0.3)
    world.at(moment, lambda: kill(run))
    run.run()
    assert world.now == killed[0]
    assert "results.jsonl" not in disk.files
    summary = run.summary
    assert summary.converted + summary.unknown + summary.not_attempted == 40
    assert run.verdict(None) is not None


def test_closing_the_generator_early_sends_nothing_more(world):
    server = Server(world, leads=40)
    job = job_of(server, concurrency=3)
    list(job.look())
    outcomes = job.convert()
    next(outcomes)
    outcomes.close()
    job.close()
    world.run_until(world.now + 100, lambda: False)
    assert methods(server).count("POST") <= 1 + 3


# Going on


def test_the_progress_of_a_retry_counts_what_earlier_tries_have_done(world, caplog):
    caplog.set_level(logging.INFO)
    server = Server(world, leads=500, limit=TokenBucket(10))
    leads, disk = server.store.leads, Disk()
    convert(server, leads, disk, kill_after=20.0)
    caplog.clear()
    convert(server, leads, disk, goes_on=True)
    told = [line for line in caplog.messages if "leads done" in line]
    done, kept = map(int, re.match(r"(\d+) of 500 leads done: (\d+) by an earlier try", told[0]).groups())
    assert 100 < kept < done < 500


def test_a_resume_reads_the_head_down_to_the_start_mark(world):
    server = Server(world, leads=500, conversions=3000, latency=(0.01, 0.05))
    disk = Disk()
    leads = server.store.leads
    first = convert(server, leads, disk, kill_after=8.0, concurrency=8)
    assert first.killed
    new = len(server.store.conversions) - 3000
    assert 10 < new < 500
    second = convert(server, leads, disk, goes_on=True, concurrency=8)
    after_kill = [(at, method) for at, method, _ in server.log if at > 8.0 + 0.03]  # what was under way has arrived
    assert after_kill[0][0] >= 8.0 + 15.0  # no earlier than the server must be done
    assert [method for _, method in after_kill].index("POST") <= ceil(new / 200) + 3 * 8
    assert set(second.outcomes.values()) == {"converted"}
    assert max(server.counts().values()) == 1


def test_a_retry_whose_input_has_grown_looks_the_newcomers_up(world):
    server = Server(world, leads=5, conversions=900, second_conversion="new")
    old = server.store.conversions[-1].lead_id
    disk = Disk()
    leads = server.store.leads
    convert(server, leads, disk, kill_after=1.5)
    result = convert(server, [*leads, old], disk, goes_on=True)
    assert result.outcomes[old] == "existing"
    assert server.counts()[old] == 1


def test_leads_converted_by_hand_between_two_tries_are_existing(world):
    server = Server(world, leads=5, conversions=30)
    refused = server.store.add_leads(1, convertible=False)[0]
    disk = Disk()
    batch = [*server.store.leads, refused]
    assert convert(server, batch, disk).outcomes[refused] == "failed"
    server.store._leads[refused] = server.store._leads[batch[0]].__class__(refused, "both", 1)
    server.store.add_conversion(refused)
    result = convert(server, batch, disk, goes_on=True)
    assert result.outcomes == {**dict.fromkeys(batch, "converted"), refused: "existing"}
    assert result.run.summary.converted == 5


# What it says


def test_a_line_at_least_every_quarter_of_a_minute(world, caplog):
    caplog.set_level(logging.INFO)
    told = [0.0]
    handler = logging.Handler()
    handler.emit = lambda record: told.append(world.now)
    logging.getLogger("airflow_provider_leadconv").addHandler(handler)
    faults = [Fault(name="drop_after", share=0.1)]
    server = Server(world, leads=100, conversions=30_000, latency=(0.5, 0.9), faults=faults)
    try:
        convert(server, server.store.leads, requests_per_second=2.0, goes_on=True)
    finally:
        logging.getLogger("airflow_provider_leadconv").removeHandler(handler)
    gaps = [later - earlier for earlier, later in zip(told, [*told[1:], world.now], strict=True)]
    assert max(gaps) <= 15.5
    assert "Waiting until the server must be done with requests of an earlier try" in caplog.text
    assert "Looking which leads are converted already: " in caplog.text
    assert " requests throttled, about " in caplog.text
