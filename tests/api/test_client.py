"""The client against the sandbox, over real sockets, and its own wiring."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from math import ceil

import pytest

from airflow_provider_leadconv.api.at_most_once import convert_lead
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import (
    AuthenticationError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.sandbox import Fault, Sandbox
from tests.support.responses import LOST, NOT_SENT, THROTTLED_AS_404, TOKEN, page, response, row, scripted
from tests.support.servers import Server, hangs_up

ALL = ListQuery()


def client(sandbox: Sandbox, **config: object) -> LeadConversionsClient:
    fields = {"requests_per_second": 1000.0, "timeout": 5.0, "settle_time": 0.1}
    return LeadConversionsClient(
        ClientConfig(**{"token": sandbox.token, "base_url": sandbox.base_url, **fields, **config})
    )


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    """The sandbox needs no rest, and no cautious start."""
    monkeypatch.setattr("airflow_provider_leadconv.api.retry.FIRST_DELAY", 0.01)
    monkeypatch.setattr("airflow_provider_leadconv.api.rate_limiting.adaptive.START_RATE", 1000.0)


def ids(made: LeadConversionsClient, **query: object) -> list[int]:
    return [conversion.id for rows in made.list_pages(ListQuery(**query)) for conversion in rows]


# Listings


def test_10500_conversions_are_listed_once_each_in_as_few_requests_over_one_connection():
    with Sandbox(leads=0, conversions=10_500) as sandbox, client(sandbox) as made:
        listed = ids(made)
        requests = sandbox.requests
    assert listed == [conversion["id"] for conversion in sandbox.conversions]
    assert len(set(listed)) == 10_500
    assert len(requests) <= ceil(10_500 / 200) + 1
    assert len({request.client for request in requests}) == 1
    assert all("page" not in request.query for request in requests)


def test_filters_and_page_size_are_sent_with_every_page_and_the_cursor_byte_for_byte():
    with Sandbox(leads=0, conversions=60) as sandbox, client(sandbox) as made:
        creator = Counter(each["creator_id"] for each in sandbox.conversions).most_common(1)[0][0]
        listed = ids(made, creator_id=creator, per_page=5)
    assert listed == [each["id"] for each in sandbox.conversions if each["creator_id"] == creator]
    first, *rest = sandbox.requests
    assert rest
    assert "cursor" not in first.query
    for request in sandbox.requests:
        assert (request.query["per_page"], request.query["creator_id"]) == ("5", str(creator))
    assert all(request.query_string.endswith("%0A") for request in rest)


def test_new_conversions_during_a_listing_do_no_harm():
    with Sandbox(leads=0, conversions=500, arrivals=3) as sandbox, client(sandbox) as made:
        before = [conversion["id"] for conversion in sandbox.conversions]
        listed = ids(made, per_page=50)
    assert len(set(listed)) == len(listed)
    assert set(before) <= set(listed)


@pytest.mark.parametrize("strict", [False, True])
def test_a_link_is_not_followed_wherever_it_leads(strict):
    with Server(hangs_up) as elsewhere:
        link_base = elsewhere.url if strict else None
        with Sandbox(leads=0, conversions=500, link_base=link_base) as sandbox, client(sandbox) as made:
            assert ids(made, per_page=200) == [conversion["id"] for conversion in sandbox.conversions]
            assert [request.path for request in sandbox.requests] == ["/v2/lead_conversions"] * 3
        assert elsewhere.connections == 0


@pytest.mark.parametrize("fault", ["repeat_rows", "empty_page", "short_page", "foreign_link"])
def test_a_listing_with_oddities_is_complete(fault):
    with (
        Sandbox(leads=0, conversions=100, faults=[Fault(name=fault, times=1)]) as sandbox,
        client(sandbox) as made,
    ):
        assert ids(made, per_page=10) == [conversion["id"] for conversion in sandbox.conversions]
        assert any(request.fault for request in sandbox.requests)


@pytest.mark.parametrize(
    "fault",
    ["repeat_cursor", "rising_ids", "null_items", "missing_items", "count_too_high_empty", "count_too_low", "html_200"],
)
def test_a_listing_that_contradicts_itself_is_an_error_never_a_short_result(fault):
    with (
        Sandbox(leads=0, conversions=100, faults=[Fault(name=fault)]) as sandbox,
        client(sandbox) as made,
        pytest.raises(InvalidResponseError),
    ):
        ids(made, per_page=10)


def test_rows_a_filter_should_have_kept_out_are_an_error():
    with (
        Sandbox(leads=0, conversions=9, faults=["ignored_filter"]) as sandbox,
        client(sandbox) as made,
        pytest.raises(InvalidResponseError, match="to a query for lead_id"),
    ):
        made.find(ListQuery(lead_id=sandbox.conversions[3]["lead_id"]))


@pytest.mark.parametrize(
    "fault",
    [
        *("throttle_429", "throttle_429_empty", "throttle_404", "throttle_409"),
        *("error_500", "error_500_bare", "error_500_empty", "error_200_bare", "error_503"),
        *("error_502_html", "error_504_html", "drop_before", "truncated_body", "cut_json"),
    ],
)
def test_a_listing_survives_faults_on_its_way(fault):
    with (
        Sandbox(leads=0, conversions=100, faults=[Fault(name=fault, method="GET", times=2)]) as sandbox,
        client(sandbox) as made,
    ):
        assert len(ids(made, per_page=50)) == 100


def test_a_lazy_listing_asks_for_no_page_that_nobody_takes():
    made, script = scripted(response(200, page(row(2), cursor="a")))
    assert script.requests == []
    assert next(made.list_pages(ALL))[0].id == 2
    assert len(script.requests) == 1


def test_find_gives_the_newest_or_nothing():
    made, _ = scripted(response(200, page(row(9, 5), row(8, 5))))
    assert made.find(ListQuery(lead_id=5)).id == 9
    made, _ = scripted(response(200, page()))
    assert made.find(ListQuery(lead_id=5)) is None


def test_find_looks_behind_an_empty_page():
    made, _ = scripted(response(200, page(cursor="a")), response(200, page(row(8, 5))))
    assert made.find(ListQuery(lead_id=5)).id == 8


# Refusals of the API as the sandbox words them


def test_a_wrong_token_and_a_missing_scope_are_told_apart():
    with Sandbox(leads=1) as sandbox:
        with client(sandbox, token="wrong") as made, pytest.raises(AuthenticationError, match="OAuth > Access Tokens"):
            made.get_page(ALL)
        sandbox.add_token("writer", ["write"])
        with client(sandbox, token="writer") as made, pytest.raises(PermissionDeniedError, match="'read'") as denied:
            made.get_page(ALL)
        assert denied.value.code == "insufficient_scope"


def test_a_token_revoked_at_work_is_read_again():
    with Sandbox(leads=0, conversions=30) as sandbox:
        sandbox.add_token("rotated")
        config = ClientConfig(token=sandbox.token, base_url=sandbox.base_url, requests_per_second=1000)
        with LeadConversionsClient(config, renew_token=lambda: "rotated") as made:
            pages = made.list_pages(ListQuery(per_page=10))
            next(pages)
            sandbox.revoke_token(sandbox.token)
            assert len([*pages]) == 2
        assert [request.status for request in sandbox.requests] == [200, 401, 200, 200]


def test_a_cursor_the_api_does_not_know_is_wrong_input():
    made, _ = scripted(response(400, {"errors": [{"error": {"code": "invalid_param", "details": "cursor"}}]}))
    with pytest.raises(InvalidRequestError, match="cursor"):
        made.get_page(ListQuery(cursor="old"))


# Conversions


def test_threads_convert_with_one_client():
    with Sandbox(leads=60) as sandbox, client(sandbox) as made, ThreadPoolExecutor(8) as pool:
        leads = sandbox.leads
        results = list(pool.map(lambda lead: convert_lead(made, ConversionRequest(lead)), leads))
    assert [result.conversion.lead_id for result in results] == leads
    assert set(sandbox.conversion_counts.values()) == {1}
    assert made.counters.requests == len(sandbox.requests) == 120


@pytest.mark.parametrize("second", ["refuse", "not_found", "conflict", "same", "new"])
@pytest.mark.parametrize(
    "fault", ["drop_after", "error_500_after", "error_504_html_after", "truncated_body", "cut_json"]
)
def test_a_lost_response_costs_no_second_conversion(second, fault):
    faults = [Fault(name=fault, method="POST", times=1)]
    with Sandbox(leads=1, second_conversion=second, faults=faults) as sandbox, client(sandbox, timeout=0.5) as made:
        result = convert_lead(made, ConversionRequest(sandbox.leads[0]))
    assert result.status is ConversionStatus.CONVERTED
    assert list(sandbox.conversion_counts.values()) == [1]


@pytest.mark.parametrize("fault", ["late_commit", "late_visible", "lookup_lag"])
def test_a_conversion_seen_late_is_not_made_twice(fault):
    faults = [Fault(name=fault, times=1, seconds=0.6)]
    faults += [Fault(name="drop_after", method="POST", times=1)] if fault != "late_commit" else []
    with (
        Sandbox(leads=1, second_conversion="new", faults=faults) as sandbox,
        client(sandbox, timeout=0.4, settle_time=0.6) as made,
    ):
        result = convert_lead(made, ConversionRequest(sandbox.leads[0]))
    assert result.status is ConversionStatus.CONVERTED
    assert list(sandbox.conversion_counts.values()) == [1]


@pytest.mark.parametrize("fault", ["stall", "late_response", "trickle_body", "trickle_headers"])
def test_a_response_that_does_not_end_is_a_doubt_that_is_settled(fault):
    faults = [Fault(name=fault, method="POST", times=1, seconds=30)]
    with Sandbox(leads=1, faults=faults) as sandbox, client(sandbox, timeout=0.4) as made:
        result = convert_lead(made, ConversionRequest(sandbox.leads[0]))
    assert result.status is ConversionStatus.CONVERTED
    assert list(sandbox.conversion_counts.values()) == [1]


@pytest.mark.parametrize("second", ["refuse", "new"])
def test_300_leads_end_converted_once_each_under_lost_responses_errors_and_throttling(second):
    faults = [Fault(name="drop_after", method="POST", share=0.3), Fault(name="error_500", method="POST", share=0.05)]
    with (
        Sandbox(leads=300, rate=80, faults=faults, second_conversion=second) as sandbox,
        client(sandbox, timeout=2.0, settle_time=0.05) as made,
        ThreadPoolExecutor(32) as pool,
    ):
        leads = sandbox.leads
        random.Random(1).shuffle(leads)
        results = list(pool.map(lambda lead: convert_lead(made, ConversionRequest(lead)), leads))
        struck = Counter(request.fault for request in sandbox.requests)
    assert [result.conversion.lead_id for result in results] == leads
    assert {result.status for result in results} == {ConversionStatus.CONVERTED}
    assert sandbox.conversion_counts == dict.fromkeys(leads, 1)
    assert struck["drop_after"] > 50
    assert struck["error_500"] > 0
    assert made.counters.throttled > 0


# Its own wiring


def test_it_counts_what_it_sent():
    made, _ = scripted(response(429), THROTTLED_AS_404, LOST, NOT_SENT, response(200, page()))
    made.get_page(ALL)
    assert (made.counters.requests, made.counters.throttled) == (5, 2)


def test_it_never_sends_faster_than_it_may():
    made, script = scripted(response(200, page()), seconds=0.0, requests_per_second=4.0)
    for _ in range(50):
        made.get_page(ALL)
    gaps = [later - earlier for earlier, later in zip(script.times, islice(script.times, 1, None), strict=False)]
    assert min(gaps) >= 0.25 - 1e-9


def test_as_a_context_manager_it_closes_its_transport():
    made, script = scripted(LOST)
    closed = []
    script.close = lambda: closed.append(True)
    with made:
        assert not closed
    assert closed


def test_a_conversion_in_doubt_is_told_with_all_that_is_known():
    made, _ = scripted(response(500, {"message": "boom"}, x_request_id="r-9"))
    with pytest.raises(UnknownOutcomeError, match=r"500: boom \(POST .*, request id r-9\)\. Look the lead up"):
        made.post(ConversionRequest(5))


def test_an_api_out_of_reach_is_unavailable():
    made, _ = scripted(NOT_SENT)
    with pytest.raises(UnavailableError, match=r"status\.zendesk\.com"):
        made.get_page(ALL)
    assert TOKEN not in repr(made)
