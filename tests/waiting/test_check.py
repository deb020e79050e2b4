"""What the checks of one sensor find, and what each of them costs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.queries import MAX_PER_PAGE
from airflow_provider_leadconv.waiting.check import LeadCheck
from tests.support.endpoint import Endpoint, conversion, other_leads


def endpoint_of(*lead_ids: int) -> Endpoint:
    endpoint = Endpoint()
    endpoint.convert(*lead_ids)
    return endpoint


@given(
    leads=st.integers(1, 12),
    old=st.integers(0, 900),
    rounds=st.lists(st.tuples(st.integers(0, 900), st.lists(st.integers(1, 12), max_size=4)), max_size=6),
)
def test_check_new_misses_nothing_within_its_request_budget(
    leads: int, old: int, rounds: list[tuple[int, list[int]]]
) -> None:
    """Each read goes back to the start of the one before. Leads that are looked up instead are as of the one before."""
    endpoint = endpoint_of(*other_leads(old))
    check, settled, before, read = LeadCheck(range(1, leads + 1), clock=endpoint.clock), 0, 0, 0
    for new, converted in [(0, []), *rounds, (0, []), (0, [])]:
        endpoint.clock.sleep(endpoint.config.settle_time)
        endpoint.convert(*other_leads(new), *converted)
        pending, unread = len(check.leads.pending), len(endpoint.ids) - before
        read = read if check._registry.unchecked else len(endpoint.ids)
        endpoint.requests.clear()
        check.check_new(endpoint)
        assert len(endpoint.requests) <= min(pending, math.ceil(unread / MAX_PER_PAGE) + 1)
        if not check._registry.unchecked:
            before, settled = settled, read
    assert set(check.leads.found) == endpoint.converted_leads & set(range(1, leads + 1))


@given(
    rounds=st.lists(
        st.tuples(st.integers(0, 900), st.lists(st.integers(1, 12), max_size=4), st.integers(0, 30)), max_size=6
    )
)
def test_check_new_finds_leads_that_become_visible_late(rounds: list[tuple[int, list[int], int]]) -> None:
    """Ten seconds pass between two checks, in which up to 900 leads are converted."""
    endpoint = endpoint_of(*other_leads(900))
    check = LeadCheck(range(1, 13), clock=endpoint.clock)
    check.check_new(endpoint)
    for new, converted, visible_after in [*rounds, *[(0, [], 0)] * 6]:
        endpoint.clock.sleep(10)
        endpoint.convert(*converted, visible_after=visible_after)
        endpoint.convert(*other_leads(new))
        check.check_new(endpoint)
    assert set(check.leads.found) == endpoint.converted_leads & set(range(1, 13))


def test_a_single_lead_is_one_request() -> None:
    endpoint, check = endpoint_of(*other_leads(1000)), LeadCheck([1])
    for requests in (1, 2, 3):
        check.check_new(endpoint)
        assert len(endpoint.requests) == requests


def test_a_reading_that_would_cost_more_than_look_ups_becomes_look_ups() -> None:
    endpoint, check = endpoint_of(1, 2, 3, *other_leads(3000)), LeadCheck([1, 2, 3])
    check.check_new(endpoint)
    assert (len(endpoint.requests), check.leads.pending) == (3, [1, 2, 3])
    check.check_new(endpoint)
    assert (len(endpoint.requests), check.leads.pending) == (6, [])


def test_a_failed_look_up_is_retried_by_the_next_check() -> None:
    endpoint, check = endpoint_of(1, 2, *other_leads(3000)), LeadCheck([1, 2])
    check.check_new(endpoint)
    endpoint.on_request = lambda sent: 1 / 0 if sent.parameters.get("lead_id") == "2" else None
    with pytest.raises(ZeroDivisionError):
        check.check_new(endpoint)
    endpoint.on_request = lambda sent: None
    check.check_new(endpoint)
    assert check.leads.pending == []


def test_check_all_finds_a_conversion_that_became_visible_too_late() -> None:
    """An id that appeared deeper in the endpoint than is read again."""
    endpoint, check = endpoint_of(*other_leads(1000)), LeadCheck([1, 2])
    for _ in range(3):
        check.check_new(endpoint)
    endpoint.add(conversion(endpoint.ids[500] + 1, lead_id=1))
    check.check_new(endpoint)
    assert check.leads.pending == [1, 2]
    check.check_all(endpoint)
    assert check.leads.pending == [2]


def test_check_all_looks_up_every_pending_lead_each_time() -> None:
    endpoint, check = endpoint_of(*other_leads(1000)), LeadCheck([1, 2, 3])
    for _ in range(2):
        endpoint.requests.clear()
        check.check_all(endpoint)
        assert len(endpoint.requests) == 4


@pytest.mark.parametrize("needs_watermark", [False, True])
def test_the_watermark_of_a_single_lead_costs_a_request(needs_watermark: bool) -> None:
    endpoint, check = endpoint_of(*other_leads(1000)), LeadCheck([1])
    check.check_all(endpoint, needs_watermark=needs_watermark)
    assert (len(endpoint.requests), check.high_watermark) == ((2, endpoint.newest_id) if needs_watermark else (1, 0))


@pytest.mark.parametrize("converted", [0, 1, 5, 6])
def test_check_until_one_is_missing_stops_at_the_first_unconverted_lead(converted: int) -> None:
    leads = range(1, 7)
    for _ in range(20):
        endpoint, check = endpoint_of(*leads[:converted], *other_leads(1000)), LeadCheck(leads)
        check.check_until_one_is_missing(endpoint)
        assert 1 <= len(endpoint.requests) <= min(converted + 1, len(leads))
        assert (check.leads.pending == []) == (converted == len(leads))


def test_check_until_one_is_missing_reads_the_changefeed_for_many_leads() -> None:
    leads = range(1, 1001)
    endpoint, check = endpoint_of(*leads, *other_leads(1000)), LeadCheck(leads)
    check.check_until_one_is_missing(endpoint)
    assert check.leads.pending == []
    assert len(endpoint.requests) == 10
