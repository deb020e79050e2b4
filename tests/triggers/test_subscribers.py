"""Those for whom the shared reader reads."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from airflow_provider_leadconv.api.exceptions import PERMANENT_ERRORS, UnavailableError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.changefeed import OverlapWindow
from airflow_provider_leadconv.triggers.subscribers import MAX_ROWS, ChangefeedRead, LeadWait

DOWN = UnavailableError("the API answered 503")


@pytest.fixture(autouse=True)
def _running_loop() -> Iterator[None]:
    """A subscriber makes a future of the running loop."""
    loop = asyncio.new_event_loop()
    asyncio.events._set_running_loop(loop)
    yield
    asyncio.events._set_running_loop(None)
    loop.close()


def rows(high: int, low: int) -> list[LeadConversion]:
    return [LeadConversion(id=number, lead_id=number) for number in range(high, low - 1, -1)]


def raised(wait: LeadWait | ChangefeedRead) -> BaseException | None:
    return wait.done.exception() if wait.done.done() else None


def test_a_wait_is_done_when_its_last_lead_is_found():
    wait = LeadWait([1, 2], 0, None)
    wait.leads.add_found(LeadConversion(id=9, lead_id=1))
    assert not wait.done.done()
    wait.leads.add_found(LeadConversion(id=8, lead_id=2))
    assert wait.done.result() is None


def test_a_wait_fails_after_too_many_failures_in_a_row():
    wait = LeadWait([1], 0, 2)
    for _ in range(3):
        wait.failed(DOWN)
        wait.failed(DOWN)
        wait.succeeded()
    assert not wait.done.done()
    for _ in range(3):
        wait.failed(DOWN)
    assert isinstance(raised(wait), UnavailableError)


def test_a_wait_without_a_maximum_outlasts_any_number_of_failures():
    wait = LeadWait([1], 0, None)
    for _ in range(1000):
        wait.failed(DOWN)
    assert not wait.done.done()


@pytest.mark.parametrize("kind", PERMANENT_ERRORS)
def test_a_permanent_error_ends_waits_and_reads_at_once_with_a_copy(kind: type[Exception]):
    error = kind("no")
    for member in (LeadWait([1], 0, None), ChangefeedRead(OverlapWindow())):
        member.failed(error)
        assert type(raised(member)) is kind
        assert raised(member) is not error


def test_a_read_outlasts_other_errors():
    read = ChangefeedRead(OverlapWindow())
    read.failed(DOWN)
    assert not read.done.done()


def test_a_done_wait_ignores_what_follows():
    wait = LeadWait([1], 0, 0)
    wait.failed(DOWN)
    wait.leads.add_found(LeadConversion(id=9, lead_id=1))
    wait.failed(DOWN)
    assert isinstance(raised(wait), UnavailableError)


def test_a_read_returns_the_rows_that_its_window_does_not_have_each_once():
    read = ChangefeedRead(OverlapWindow(high_watermark=8, low_watermark=5, ids=(7, 8)))
    read.take(rows(12, 9))
    read.take(rows(10, 4))  # a page may repeat rows of the page before
    read.finish()
    read.finish()
    assert [row.id for row in read.done.result()] == [12, 11, 10, 9, 6]


def test_a_read_without_a_watermark_returns_the_newest_page():
    read = ChangefeedRead(None)
    read.take(rows(12, 9))
    read.take(rows(8, 5))
    read.finish()
    assert [row.id for row in read.done.result()] == [12, 11, 10, 9]


@pytest.mark.parametrize("taken", [0, MAX_ROWS])
def test_a_read_keeps_the_oldest_new_rows_if_there_are_too_many(taken: int):
    read = ChangefeedRead(OverlapWindow(high_watermark=taken, ids=tuple(range(1, taken + 1))))
    for top in range(taken + MAX_ROWS + 200, 0, -200):
        read.take(rows(top, top - 199))
    read.finish()
    assert [row.id for row in read.done.result()] == list(range(taken + MAX_ROWS, taken, -1))
