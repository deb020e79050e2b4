"""Queries of the listing: what is sent, and what is refused before it is sent."""

from __future__ import annotations

from urllib.parse import parse_qs, parse_qsl

import pytest

from airflow_provider_leadconv.api.exceptions import (
    InvalidRequestError,
)
from airflow_provider_leadconv.api.queries import FILTERS, ListQuery

ALL = ListQuery()
CURSOR = "eyJsYXN0X2lkIjo2NTA3ODF9%0A"


def test_a_listing_asks_for_the_largest_page_and_names_no_page():
    request = ALL.request()
    assert (request.method, request.target, request.body) == ("GET", "/v2/lead_conversions?per_page=200", None)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("value", [3_000_000_000, "3000000000"])
def test_a_filter_is_sent_as_a_number(name, value):
    query = ListQuery(**{name: value})
    assert parse_qs(query.request().query) == {"per_page": ["200"], name: ["3000000000"]}
    assert query.filters == {name: 3_000_000_000}


def test_page_per_page_and_all_filters_are_sent_together():
    query = ListQuery(page=50, per_page=1, **dict.fromkeys(FILTERS, 9))
    assert parse_qsl(query.request().query) == [("page", "50"), ("per_page", "1"), *((name, "9") for name in FILTERS)]


@pytest.mark.parametrize(
    ("cursor", "sent"),
    [
        (CURSOR, CURSOR),
        ("a%0a", "a%0a"),
        ("a+b/c=", "a+b/c="),
        ("%2B%25", "%2B%25"),
        ("a\nb c", "a%0Ab%20c"),
        ("a&page=2#x", "a%26page=2%23x"),
        ("ü", "%C3%BC"),
    ],
)
def test_a_cursor_is_sent_as_it_stood_in_the_link(cursor, sent):
    assert ListQuery(cursor=cursor, lead_id=4).request().query == f"per_page=200&lead_id=4&cursor={sent}"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"page": 0}, "page must be an integer from 1 to 50, got 0; for later pages, pass the next_cursor of a page"),
        ({"page": 51}, "page must be an integer from 1 to 50"),
        ({"page": True}, "page must be an integer"),
        ({"page": "2"}, "page must be an integer"),
        ({"per_page": 0}, "per_page must be an integer from 1 to 200"),
        ({"per_page": 201}, "per_page must be an integer from 1 to 200"),
        ({"per_page": False}, "per_page must be an integer"),
        ({"per_page": 2.0}, "per_page must be an integer"),
        ({"page": 1, "cursor": CURSOR}, "pass page or cursor, not both"),
    ]
    + [({name: wrong}, f"{name} must be") for name in FILTERS for wrong in (True, 0, -1, 2**63, "x", "1,2", 1.5)],
)
def test_an_invalid_query_is_refused_before_it_is_sent(wrong, says):
    with pytest.raises(InvalidRequestError, match=says):
        ListQuery(**wrong)
