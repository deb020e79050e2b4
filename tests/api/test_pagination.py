"""The listing read page by page: complete, or an error."""

from __future__ import annotations

from collections import deque
from itertools import chain, count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.exceptions import PERMANENT_ERRORS, InvalidRequestError, InvalidResponseError
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.pagination import MAX_EMPTY_PAGES, MAX_REFUSED_CURSORS, Listing
from airflow_provider_leadconv.api.queries import ListQuery


def paged(*ids: int, cursor: str | None = None, total: int | None = None) -> Page:
    rows = [LeadConversion(id=number, lead_id=1) for number in ids]
    return Page(conversions=rows, next_cursor=cursor, total=total)


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
    with pytest.raises(ValueError, match="has no next page"):
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
        ((paged(9, cursor="a"), paged(8, cursor="a")), "has the same cursor"),
        ((paged(9, cursor="a"), paged(cursor="a")), "has the same cursor"),
        ((paged(9, 8, cursor="a"), paged(9, 8, cursor="b")), "a page repeats the previous one"),
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


def test_an_error_has_no_text_of_a_link():
    """It may be of any length, or echo the token."""
    with pytest.raises(InvalidResponseError) as caught:
        read(paged(9, cursor="secret"), paged(8, cursor="secret"))
    assert "secret" not in str(caught.value)


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
def test_a_listing_is_read_completely_whatever_its_pages(numbers, data):
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


@pytest.mark.parametrize(
    "pages",
    [
        (paged(9, 8, cursor="a", total=3), paged(7, total=3)),
        (paged(9, 8, cursor="a", total=9), paged(7, total=3)),  # deleted meanwhile
        (paged(9, 8, cursor="a", total=3), paged(7, total=8)),  # others were added meanwhile
    ],
)
def test_a_listing_that_reaches_its_total_is_complete(pages):
    assert [number for page in read(*pages) for number in page] == [9, 8, 7]


def test_a_listing_that_ends_before_its_total_is_an_error():
    with pytest.raises(InvalidResponseError, match=r"ends after 3 conversions, but meta\.count is 4"):
        read(paged(9, 8, cursor="a", total=4), paged(7, total=4))


def test_a_listing_that_starts_at_a_cursor_need_not_reach_the_total():
    assert read(paged(7, total=900), query=ListQuery(cursor="a")) == [[7]]


REFUSED = InvalidRequestError("cursor has expired", status_code=400)


def test_after_a_refused_cursor_the_walk_continues_below_the_last_row():
    listing = Listing(ListQuery(per_page=2, creator_id=3))
    assert [row.id for row in listing.take(paged(9, 8, cursor="a"))] == [9, 8]
    listing.restart(REFUSED)
    assert listing.next_query == ListQuery(per_page=2, creator_id=3)
    assert listing.take(paged(10, 9, cursor="b")) == []
    assert [row.id for row in listing.take(paged(8, 7, cursor="c"))] == [7]
    listing.restart(REFUSED)
    assert listing.take(paged(10, 9, cursor="d")) == []
    assert listing.take(paged(8, 7, cursor="e")) == []
    assert [row.id for row in listing.take(paged(6))] == [6]
    assert listing.next_query is None


def test_a_walk_whose_cursors_are_refused_again_and_again_is_a_temporary_error():
    listing = Listing(ListQuery())
    for _ in range(MAX_REFUSED_CURSORS):
        listing.take(paged(9, cursor="a"))
        listing.restart(REFUSED)
    listing.take(paged(9, cursor="a"))
    with pytest.raises(InvalidResponseError, match="cursors were rejected 4 times: cursor has expired"):
        listing.restart(REFUSED)
    assert not isinstance(InvalidResponseError("x"), PERMANENT_ERRORS)


@pytest.mark.parametrize("query", [ListQuery(), ListQuery(cursor="a"), ListQuery(page=2)])
def test_a_refusal_of_the_first_page_is_raised(query):
    with pytest.raises(InvalidRequestError, match="expired"):
        Listing(query).restart(REFUSED)
