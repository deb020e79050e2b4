"""Conversions on the simulated clock: what is sent, and what an outcome means."""

from __future__ import annotations

from functools import partial

import pytest

from airflow_provider_leadconv.api.at_most_once import MAX_UNKNOWN_OUTCOMES, send_conversion
from airflow_provider_leadconv.api.http import Response
from airflow_provider_leadconv.bulk.inputs import read_leads
from airflow_provider_leadconv.bulk.sending.forbidden_guard import MAX_FORBIDDEN_AT_FIRST
from airflow_provider_leadconv.sandbox import Fault
from tests.support.bulk_simulation import TOKEN, Server, SimulatedWorkers, World, convert, methods


@pytest.fixture
def world():
    return World()


def test_a_refusal_as_already_existing_waits_for_a_conversion_by_others_that_becomes_visible_late(world):
    server = Server(world, leads=80, second_conversion="refuse")
    last = server.store.leads[-1]
    world.at(7.0, lambda: server.store.add_conversion(last, visible_after=6.0))  # it is refused after about 10 s
    result = convert(server, server.store.leads, settle_time=5.0, requests_per_second=8.0)
    assert [line["status"] for line in result.lines] == ["converted"] * 79 + ["existing"]
    assert server.counts()[last] == 1
    assert world.now >= 13.0


@pytest.mark.parametrize("looks_up_first", [True, False])
def test_a_lead_with_an_unknown_outcome_is_looked_up_right_before_it_is_sent_again(world, looks_up_first):
    server = Server(world, leads=1)
    world.start_process()
    workers = SimulatedWorkers(world)
    lead = read_leads(server.store.leads)[0]
    theirs = server.store.add_conversion(lead.lead_id)
    workers.submit(partial(send_conversion, server.client(), lead, look_up_first=looks_up_first))
    found, answered = workers.next_completed(100).result()
    assert (found.id == theirs.id, answered) == (looks_up_first, not looks_up_first)
    assert methods(server) == (["GET"] if looks_up_first else ["POST"])


def test_what_others_convert_meanwhile_is_dropped_from_the_queue(world):
    server = Server(world, leads=400, latency=(0.4, 0.5), second_conversion="new")
    last = server.store.leads[-10:]
    world.at(20.0, lambda: [server.store.add_conversion(lead) for lead in last])
    result = convert(server, server.store.leads, requests_per_second=8.0)
    assert [line["status"] for line in result.lines] == ["converted"] * 390 + ["existing"] * 10
    assert max(server.counts().values()) == 1


def test_a_lead_that_others_convert_while_it_waits_for_its_permit_is_not_sent(world):
    server = Server(world, leads=60, second_conversion="new", latency=(0.05, 0.1))
    last = server.store.leads[-1]
    world.at(25.0, lambda: server.store.add_conversion(last))
    result = convert(server, server.store.leads, requests_per_second=1.0, concurrency=64)
    assert result.statuses[last] == "existing"
    assert server.counts()[last] == 1


def test_403_for_all_leads_ends_the_run(world):
    refusal = Response(status_code=403, headers={}, body=b'{"errors":[{"error":{"code":"forbidden"}}]}')
    server = Server(world, leads=100, on_request=lambda request: refusal if request.method == "POST" else None)
    result = convert(server, server.store.leads, concurrency=4)
    reported = list(result.statuses.values())
    assert MAX_FORBIDDEN_AT_FIRST <= reported.count("failed") <= MAX_FORBIDDEN_AT_FIRST + 4
    assert reported.count("not_attempted") == 100 - reported.count("failed")


def test_a_token_that_may_not_convert_ends_the_run(world):
    server = Server(world, leads=50)
    server.service.access.add(TOKEN, ("read",), 1)
    result = convert(server, server.store.leads)
    assert set(result.statuses.values()) == {"not_attempted"}
    assert result.run.stopped_by.code == "insufficient_scope"
    assert methods(server).count("POST") <= 4
    assert result.lines[0]["error"]["http_status"] == 403


def test_a_lead_whose_responses_are_all_lost_is_posted_four_times(world):
    server = Server(world, leads=3, faults=[Fault(name="drop_before", method="POST")])
    result = convert(server, server.store.leads)
    assert set(result.statuses.values()) == {"unknown"}
    assert methods(server).count("POST") == 3 * MAX_UNKNOWN_OUTCOMES == 12
    assert server.counts().get(server.store.leads[0], 0) == 0
    last = max(moment for moment, method, _ in server.log if method == "POST")
    final_checks = [moment for moment, method, _ in server.log if method == "GET" and moment > last]
    assert final_checks[0] >= last + 14.9, "the last request is given its time, too"
