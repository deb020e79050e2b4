"""The walk of an export, from the newest conversion down, one page ahead of its caller."""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta

import pytest

from airflow_provider_leadconv.api.exceptions import UnavailableError
from airflow_provider_leadconv.changefeed import ChangefeedReader, OverlapWindow
from airflow_provider_leadconv.export.pages import read_ahead, read_pages, resume_pages, rows_above
from tests.support.endpoint import EPOCH, conversion
from tests.support.exports import endpoint_of, failing_after, selection
from tests.support.responses import page, response

CURSOR_IS_REFUSED = response(400, {"errors": [{"error": {"code": "invalid_param", "message": "m"}, "meta": {}}]})


def ids(pages):
    return [[row.id for row in each.rows] for each in pages]


def flat(pages):
    return [row.id for each in pages for row in each.rows]


# Walks


def test_a_walk_lists_every_page_with_the_cursor_it_was_requested_with():
    endpoint = endpoint_of(5)
    pages = list(read_pages(endpoint.client(), selection(per_page=2)))
    assert ids(pages) == [[5, 4], [3, 2], [1]]
    assert pages[0].cursor is None
    assert len({each.cursor for each in pages}) == 3


def test_a_walk_ends_at_the_low_watermark_and_drops_rows_that_were_taken():
    endpoint = endpoint_of(100)
    window = OverlapWindow(high_watermark=95, low_watermark=90, ids=(91, 92, 94, 95))
    pages = list(read_pages(endpoint.client(), selection(per_page=4), ChangefeedReader(window)))
    assert ids(pages) == [[100, 99, 98, 97], [96, 93], []]
    assert len(endpoint.requests) == 3


def test_a_walk_ends_behind_the_time_window():
    endpoint = endpoint_of(5000)
    chosen = selection(created_from=EPOCH + timedelta(minutes=4000), per_page=100)
    assert flat(read_pages(endpoint.client(), chosen)) == list(range(5000, 3999, -1))
    # An hour of slack is read, and one page that is wholly behind it.
    assert len(endpoint.requests) == (5000 - 3940) // 100 + 2


def test_a_walk_that_fails_has_given_the_pages_before():
    pages = read_pages(endpoint_of(5, on_request=failing_after(2)).client(), selection(per_page=2))
    assert ids([next(pages), next(pages)]) == [[5, 4], [3, 2]]
    with pytest.raises(UnavailableError):
        next(pages)


def test_rows_above_an_id_are_those_with_a_higher_id():
    pages = read_pages(endpoint_of(5).client(), selection(per_page=2))
    assert ids(rows_above(3, pages)) == [[5, 4], [], []]


def test_progress_begins_with_percent_and_time_left_if_the_number_of_rows_is_known(endpoint, caplog):
    caplog.set_level("INFO")
    endpoint.on_request = lambda sent: endpoint.clock.sleep(5)
    assert len(flat(read_pages(endpoint.client(), selection(per_page=10), expected=100))) == 100
    assert caplog.messages
    line = r"\d+ %(, .+ left)?: \d+ rows \(\d+ rows/s\) on \d+ pages, down to id (\d+|None)"
    assert all(re.fullmatch(line, message) for message in caplog.messages)


# Resumed walks


@pytest.fixture
def endpoint():
    return endpoint_of(100)


@pytest.fixture
def interrupted(endpoint):
    """A walk that was interrupted in the middle of the page with the ids 90 to 81, after 84."""
    pages = list(read_pages(endpoint.client(), selection(per_page=10)))
    endpoint.requests.clear()
    return {"below": 84, "cursor": pages[1].cursor}


def resumed(endpoint, interrupted, window=None):
    return resume_pages(endpoint.client(), selection(per_page=10), ChangefeedReader(window), **interrupted)


def test_a_resumed_walk_continues_at_its_cursor_below_its_last_row(endpoint, interrupted):
    assert ids(resumed(endpoint, interrupted))[:2] == [[83, 82, 81], list(range(80, 70, -1))]
    assert len(endpoint.requests) == 9


def test_a_resumed_walk_ends_at_the_low_watermark(endpoint, interrupted):
    window = OverlapWindow(high_watermark=75, low_watermark=74, ids=(75,))
    assert flat(resumed(endpoint, interrupted, window)) == list(range(83, 75, -1))


@pytest.mark.parametrize(
    ("reply", "logged"),
    [(CURSOR_IS_REFUSED, "the API rejected the cursor"), (response(200, page()), "leads to another page")],
)
def test_a_resumed_walk_whose_cursor_is_stale_starts_at_the_top(endpoint, interrupted, caplog, reply, logged):
    caplog.set_level("INFO")
    endpoint.on_request = lambda sent: reply if sent.number == 1 else None
    assert flat(resumed(endpoint, interrupted)) == list(range(83, 0, -1))
    assert logged in caplog.text


def test_a_resumed_walk_whose_last_row_is_deleted_starts_at_the_top(endpoint, interrupted):
    del endpoint.rows[84]
    assert flat(resumed(endpoint, interrupted)) == list(range(83, 0, -1))
    assert len(endpoint.requests) > 9


def test_a_resumed_walk_without_a_cursor_starts_at_the_top(endpoint):
    endpoint.add(conversion(101))
    assert flat(resumed(endpoint, {"below": 97, "cursor": None})) == list(range(96, 0, -1))


# Read ahead


def ahead(items, while_waiting=lambda: None):
    return read_ahead(items, while_waiting=while_waiting, interval=0.01)


def test_all_items_in_order():
    assert list(ahead(iter(range(1000)))) == list(range(1000))


def test_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ZeroDivisionError

    taken = []
    with pytest.raises(ZeroDivisionError):
        taken.extend(ahead(items()))
    reader = ahead(items())
    assert next(reader) == 1
    with pytest.raises(ZeroDivisionError):
        next(reader)


def test_one_item_is_read_ahead_and_not_many():
    read = []

    def items():
        for number in range(100):
            read.append(number)
            yield number

    reader = ahead(items())
    next(reader)
    deadline = time.monotonic() + 5
    while len(read) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert 2 <= len(read) <= 3


def test_the_caller_is_notified_while_it_waits():
    notified = threading.Event()

    def items():
        assert notified.wait(5)
        yield 1

    assert list(ahead(items(), notified.set)) == [1]


def test_thread_ends_with_its_reader():
    before = threading.active_count()
    reader = ahead(iter(range(100)))
    next(reader)
    reader.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() == before
