"""The listing read page by page: complete, or an error."""

from __future__ import annotations

from collections import deque
from itertools import chain, count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.errors import InvalidResponseError
from airflow_provider_leadconv.api.paging import MAX_EMPTY_PAGES, Listing
from airflow_provider_leadconv.api.records import LeadConversion, Page
from airflow_provider_leadconv.api.wire import ListQuery


def paged(*ids: int, cursor: str | None = None) -> Page:
    return Page(conversions=[LeadConversion(id=number, lead_id=1) for number in ids], next_cursor=cursor)


def read(*pages: Page, query: ListQuery | None = None) -> list[list[int]]:
    listing = Listing(query or ListQuery())
    return [[row.id for row in listing.take(page)] for page in pages]


def test_the_next_page_is_asked_for_with_cursor_filters_and_page_size():
    listing = Listing(ListQuery(page=3, per_page=7, lead_id=1, creator_id=2))
    listing.take(paged(9, cursor="a%0A"))
    assert listing.next_query == ListQuery(cursor="a%0A", per_page=7, lead_id=1, creator_id=2)


def test_a_page_without_a_link_ends_the_listing():
    listing = Listing(ListQuery())
    listing.take(paged(9))
    assert listing.next_query is None
    with pytest.raises(ValueError, match="has ended"):
        listing.take(paged(8))


@pytest.mark.parametrize(
    "pages",
    [
        (paged(9, 8, cursor="a"), paged(7, cursor="b"), paged(6, 5)),
        (paged(9, 8, cursor="a"), paged(cursor="b"), paged(7, 6, 5)),
        (paged(cursor="a"), paged(9, 8, 7, cursor="b"), paged(6, 5, cursor="c"), paged()),
    ],
    ids=["short page", "empty page", "empty first and last page"],
)
def test_a_short_or_empty_page_with_a_link_does_not_end_it(pages):
    assert [*chain(*read(*pages))] == [9, 8, 7, 6, 5]


def test_rows_of_the_page_before_are_dropped():
    assert read(paged(9, 8, 7, cursor="a"), paged(8, 7, 6, cursor="b"), paged(6, 5)) == [[9, 8, 7], [6], [5]]


def test_rows_of_the_page_before_are_dropped_across_an_empty_page():
    assert read(paged(9, 8, cursor="a"), paged(cursor="b"), paged(8, 7)) == [[9, 8], [], [7]]


def test_a_last_page_of_rows_already_seen_adds_nothing():
    assert read(paged(9, 8, cursor="a"), paged(8)) == [[9, 8], []]


@pytest.mark.parametrize(
    ("pages", "says"),
    [
        ((paged(9, cursor="a"), paged(8, cursor="a")), "leads back to itself"),
        ((paged(9, cursor="a"), paged(cursor="a")), "leads back to itself"),
        ((paged(9, 8, cursor="a"), paged(9, 8, cursor="b")), "only rows of the page before"),
        ((paged(9, 7, cursor="a"), paged(8, 6)), "conversion 8 comes after 7"),
        ((paged(9, cursor="a"), paged(10, 8)), "conversion 10 comes after 9"),
        ((paged(9, cursor="a"), paged(8, cursor="b"), paged(9, cursor="c")), "conversion 9 comes after 8"),
        ((paged(8, 9),), "conversion 9 comes after 8"),
        ((paged(8, 8),), "conversion 8 comes after 8"),
    ],
)
def test_a_listing_that_does_not_fall_is_an_error(pages, says):
    with pytest.raises(InvalidResponseError, match=says):
        read(*pages)


@pytest.mark.parametrize("cycle", [1, 2, 3, 1000])
def test_empty_pages_that_lead_on_and_on_end_in_an_error(cycle):
    listing = Listing(ListQuery())
    pages = (paged(cursor=f"cursor {number % cycle}") for number in range(MAX_EMPTY_PAGES + 1))
    with pytest.raises(InvalidResponseError):
        deque(map(listing.take, pages))


@given(st.data())
def test_every_listing_ends_and_yields_falling_ids_once_each(data):
    listing = Listing(ListQuery())
    ids: list[int] = []
    cursors = count()
    try:
        while listing.next_query:
            start = data.draw(st.integers(1, 30))
            rows = range(start, max(0, start - data.draw(st.integers(0, 4))), -1)
            cursor = f"c{next(cursors)}" if data.draw(st.integers(0, 9)) else None
            ids += (row.id for row in listing.take(paged(*rows, cursor=cursor)))
    except InvalidResponseError:
        pass
    assert ids == sorted(set(ids), reverse=True)


@given(st.lists(st.integers(1, 10**6), unique=True, max_size=40), st.data())
def test_a_log_cut_into_pages_anyhow_is_read_whole(numbers, data):
    log = sorted(numbers, reverse=True)
    pages, at = [], 0
    while at < len(log):
        size = data.draw(st.integers(0, 7)) if not pages or pages[-1].conversions else 3
        back = data.draw(st.integers(0, min(2, at))) if size and pages and pages[-1].conversions else 0
        back = min(back, len(pages[-1].conversions) if pages else 0)
        pages.append(paged(*log[at - back : at + size], cursor=f"c{len(pages)}"))
        at += size
    pages.append(paged())
    assert [*chain(*read(*pages))] == log
