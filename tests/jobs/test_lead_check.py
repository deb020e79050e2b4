"""What the checks of one sensor find, and what each of them costs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.api.wire import MAX_PER_PAGE
from airflow_provider_leadconv.jobs.lead_check import LeadCheck
from jobs.conversion_log import ConversionLog, others


def log_of(*lead_ids: int) -> ConversionLog:
    log = ConversionLog()
    log.convert(*lead_ids)
    return log


@given(
    leads=st.integers(1, 12),
    old=st.integers(0, 900),
    rounds=st.lists(st.tuples(st.integers(0, 900), st.lists(st.integers(1, 12), max_size=4)), max_size=6),
)
def test_looking_for_news_costs_no_more_than_it_may_and_misses_nothing(
    leads: int, old: int, rounds: list[tuple[int, list[int]]]
) -> None:
    """New is what was not read yet. Leads that are looked up instead are settled as of the reading before."""
    log = log_of(*others(old))
    check, settled, read = LeadCheck(range(1, leads + 1)), 0, 0
    for new, converted in [(0, []), *rounds, (0, []), (0, [])]:
        log.convert(*others(new), *converted)
        pending, unread = len(check.watch.pending), len(log.rows) - settled
        read = read if check._waiting.unchecked else len(log.rows)
        log.requests = 0
        check.look_for_news(log)
        assert log.requests <= min(pending, math.ceil(unread / MAX_PER_PAGE) + 1)
        if not check._waiting.unchecked:
            settled = read
    assert set(check.watch.found) == {row.lead_id for row in log.rows} & set(range(1, leads + 1))


def test_a_single_lead_is_one_request() -> None:
    log, check = log_of(*others(1000)), LeadCheck([1])
    for requests in (1, 2, 3):
        check.look_for_news(log)
        assert log.requests == requests


def test_a_reading_that_would_cost_more_than_look_ups_becomes_look_ups() -> None:
    log, check = log_of(1, 2, 3, *others(3000)), LeadCheck([1, 2, 3])
    check.look_for_news(log)
    assert (log.requests, check.watch.pending) == (3, [1, 2, 3])
    check.look_for_news(log)
    assert (log.requests, check.watch.pending) == (6, [])


def test_a_look_up_that_fails_is_made_again() -> None:
    log, check = log_of(1, 2, *others(3000)), LeadCheck([1, 2])
    check.look_for_news(log)
    find, log.find = log.find, lambda query: find(query) if query.lead_id == 1 else 1 / 0
    with pytest.raises(ZeroDivisionError):
        check.look_for_news(log)
    log.find = find
    check.look_for_news(log)
    assert check.watch.pending == []


def test_looking_for_all_finds_what_the_log_showed_too_late() -> None:
    """An id that appeared deeper in the log than is read again."""
    log, check = log_of(*others(1000)), LeadCheck([1, 2])
    for _ in range(3):
        check.look_for_news(log)
    log.rows.insert(500, LeadConversion(id=log.rows[500].id + 1, lead_id=1))
    check.look_for_news(log)
    assert check.watch.pending == [1, 2]
    check.look_for_all(log)
    assert check.watch.pending == [2]


def test_looking_for_all_again_trusts_nothing() -> None:
    log, check = log_of(*others(1000)), LeadCheck([1, 2, 3])
    for _ in range(2):
        log.requests = 0
        check.look_for_all(log)
        assert log.requests == 4


@pytest.mark.parametrize("take_mark", [False, True])
def test_the_mark_of_a_single_lead_costs_a_request(take_mark: bool) -> None:
    log, check = log_of(*others(1000)), LeadCheck([1])
    check.look_for_all(log, take_mark=take_mark)
    assert (log.requests, check.mark) == ((2, log.rows[0].id) if take_mark else (1, 0))


@pytest.mark.parametrize("converted", [0, 1, 5, 6])
def test_without_memory_leads_are_looked_up_until_one_is_missing(converted: int) -> None:
    leads = range(1, 7)
    for _ in range(20):
        log, check = log_of(*leads[:converted], *others(1000)), LeadCheck(leads)
        check.look_until_one_is_missing(log)
        assert 1 <= log.requests <= min(converted + 1, len(leads))
        assert (check.watch.pending == []) == (converted == len(leads))


def test_without_memory_very_many_leads_are_found_in_the_log() -> None:
    leads = range(1, 1001)
    log, check = log_of(*leads, *others(1000)), LeadCheck(leads)
    check.look_until_one_is_missing(log)
    assert check.watch.pending == []
    assert log.requests == 10
