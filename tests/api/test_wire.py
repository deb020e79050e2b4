"""Requests from records, records from answers."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import HTML, THROTTLED_AS_404, answer, envelope, page, row, single

from airflow_provider_leadconv.api.errors import (
    ConnectionConfigError,
    InvalidRequestError,
    InvalidResponseError,
    LeadConversionError,
    RateLimitedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.records import ConversionRequest
from airflow_provider_leadconv.api.wire import FILTERS, ListQuery, conversion_request, read_conversion, read_page

ALL = ListQuery()
LEAD = ConversionRequest(5)
CURSOR = "eyJsYXN0X2lkIjo2NTA3ODF9%0A"


# What is sent


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
        ({"page": 0}, "page must be an integer from 1 to 50, got 0; to read further, pass the next_cursor"),
        ({"page": 51}, "page must be an integer from 1 to 50"),
        ({"page": True}, "page must be an integer"),
        ({"page": "2"}, "page must be an integer"),
        ({"per_page": 0}, "per_page must be an integer from 1 to 200"),
        ({"per_page": 201}, "per_page must be an integer from 1 to 200"),
        ({"per_page": False}, "per_page must be an integer"),
        ({"per_page": 2.0}, "per_page must be an integer"),
        ({"page": 1, "cursor": CURSOR}, "page and cursor exclude each other"),
    ]
    + [({name: wrong}, f"{name} must be") for name in FILTERS for wrong in (True, 0, -1, 2**63, "x", "1,2", 1.5)],
)
def test_what_the_api_would_not_take_is_refused_before_it_is_sent(wrong, says):
    with pytest.raises(InvalidRequestError, match=says):
        ListQuery(**wrong)


@pytest.mark.parametrize(
    ("lead", "data"),
    [
        (ConversionRequest(5), {"lead_id": 5}),
        (ConversionRequest("5", "6"), {"lead_id": 5, "owner_id": 6}),
        (ConversionRequest(5, None, False), {"lead_id": 5, "create_deal": False}),
        (ConversionRequest(5, 6, "true"), {"lead_id": 5, "owner_id": 6, "create_deal": True}),
    ],
)
def test_a_conversion_leaves_out_what_is_none(lead, data):
    request = conversion_request(lead)
    assert (request.method, request.target) == ("POST", "/v2/lead_conversions")
    assert json.loads(request.body) == {"data": data}


# Pages


def test_the_vendors_example_is_read():
    body = page(row(2, 2), row(1, 1, deal_id=None), cursor=CURSOR)
    read = read_page(answer(200, body), ALL)
    assert [conversion.id for conversion in read.conversions] == [2, 1]
    assert read.next_cursor == CURSOR


@pytest.mark.parametrize(
    "link",
    [
        f"https://api.getbase.com/v2/lead_conversions?cursor={CURSOR}&per_page=25",
        f"https://api.getbase.com/v2/lead_conversions?per_page=25&cursor={CURSOR}",
        f"https://foreign.example/elsewhere?cursor={CURSOR}#fragment",
        f"http://[nonsense?cursor={CURSOR}",
        f"/v2/lead_conversions?cursor={CURSOR}",
        f"?cursor={CURSOR}",
    ],
)
def test_of_a_link_only_the_cursor_counts(link):
    body = page(row(1)) | {"meta": {"links": {"next_page": link}}}
    assert read_page(answer(200, body), ALL).next_cursor == CURSOR


@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"meta": None},
        {"meta": {}},
        {"meta": {"links": None}},
        {"meta": {"links": {}}},
        {"meta": {"links": {"next_page": None}}},
        {"meta": {"links": {"next_page": ""}}},
        {"meta": {"links": {"next_page": {}}}},
    ],
)
def test_without_a_link_the_listing_ends(rest):
    assert read_page(answer(200, {"items": [{"data": row(1)}]} | rest), ALL).next_cursor is None


@pytest.mark.parametrize(
    "link", ["https://api.getbase.com/v2/lead_conversions?page=2", "nonsense", "?cursor=", 7, ["?cursor=a"], {"a": 1}]
)
def test_a_link_without_a_cursor_is_an_error_not_an_end(link):
    with pytest.raises(InvalidResponseError, match="link has no cursor"):
        read_page(answer(200, page(row(1), links={"next_page": link})), ALL)


SENSELESS_PAGES = {
    "empty body": b"",
    "HTML": HTML,
    "half of the JSON": json.dumps(page(row(1))).encode()[:-9],
    "no object": [],
    "null": b"null",
    "no items": {"meta": {"count": 0}},
    "items: null": {"items": None, "meta": {"count": 1}},
    "an item that is null": {"items": [None]},
    "an item without data": {"items": [{"meta": {}}]},
    "an item whose data is null": {"items": [{"data": None}]},
    "an id that is text": page(row(1, id="1")),
    "an id that is a boolean": page(row(1, id=True)),
    "count above 0, no items": page(count=3),
    "count below the items": page(row(2), row(1), count=1),
    "count 0, yet items": page(row(1), count=0),
    "bytes that are no UTF-8": b'{"items":[{"data":{"id":1,"lead_id":2,"x":"\xff"}}]}',
    "bytes that are no UTF-8 where text is read": b'{"items":[{"data":{"id":1,"lead_id":2,"created_at":"\xff"}}]}',
    "JSON too deep to read": b'{"items":[{"data":{"id":1,"lead_id":2,"x":%s}}]}' % (b"[" * 9999 + b"]" * 9999),
}


@pytest.mark.parametrize("content", SENSELESS_PAGES.values(), ids=SENSELESS_PAGES.keys())
def test_a_page_that_makes_no_sense_is_an_error_never_a_short_page(content):
    with pytest.raises(InvalidResponseError, match="the API answered 200 with"):
        read_page(answer(200, content), ALL)


@pytest.mark.parametrize("count", [2, 3, None])
def test_a_count_that_does_not_contradict_is_taken(count):
    assert len(read_page(answer(200, page(row(2), row(1), count=count)), ALL).conversions) == 2


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("found", [8, None])
def test_rows_that_contradict_the_filter_are_an_error(name, found):
    if name == "lead_id" and found is None:
        found = 9
    with pytest.raises(InvalidResponseError, match=f"with {name} {found} to a listing of {name} 4"):
        read_page(answer(200, page(row(2, **{name: 4}), row(1, **{name: found}))), ListQuery(**{name: "4"}))


NOT_FOUND = answer(404, envelope("404 Not Found", "not_found"))


def test_a_look_up_may_say_that_nothing_is_there_by_a_404():
    assert read_page(NOT_FOUND, ListQuery(lead_id=4)).conversions == []


@pytest.mark.parametrize(
    ("reply", "query", "kind"),
    [
        (NOT_FOUND, ALL, InvalidRequestError),
        (NOT_FOUND, ListQuery(lead_id=4, cursor=CURSOR), InvalidRequestError),
        (answer(404, envelope("404 Not Found", "incorrect_path")), ListQuery(lead_id=4), ConnectionConfigError),
        (answer(404, HTML), ListQuery(lead_id=4), ConnectionConfigError),
        (THROTTLED_AS_404, ListQuery(lead_id=4), RateLimitedError),
    ],
)
def test_no_other_404_says_that_nothing_is_there(reply, query, kind):
    with pytest.raises(kind):
        read_page(reply, query)


# Answers to a POST


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_with_our_lead_is_a_conversion(status):
    assert read_conversion(answer(status, single(9, 5)), LEAD).id == 9


def test_a_conversion_may_have_made_nothing_we_know_of():
    nothing = dict.fromkeys(["individual_id", "organization_id", "deal_id", "creator_id"])
    assert read_conversion(answer(200, single(9, 5, **nothing)), LEAD).individual_id is None


UNPROVEN = {
    "another lead": single(9, 6),
    "no data": {"meta": {}},
    "data: null": {"data": None},
    "no id": {"data": {"lead_id": 5}},
    "id: null": {"data": {"id": None, "lead_id": 5}},
    "a page": page(row(9, 5)),
    "nothing": b"",
    "HTML": HTML,
    "half": json.dumps(single(9, 5)).encode()[:40],
    "an error": {"status": 500, "error": "Internal Server Error"},
    "an envelope": envelope("422 Unprocessable Entity", "blank"),
    "too deep": b'{"data":' + b"[" * 9999,
}


@pytest.mark.parametrize("content", UNPROVEN.values(), ids=UNPROVEN.keys())
@pytest.mark.parametrize("status", [200, 201])
def test_a_2xx_that_proves_nothing_leaves_the_outcome_unknown(content, status):
    with pytest.raises(UnknownOutcomeError):
        read_conversion(answer(status, content), LEAD)


# Whatever comes


documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["422 x", "²", "?cursor=a", "9" * 30]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("items", "data", "meta", "count", "links", "next_page", "errors", "error", "status", "code"),
                    *("details", "field", "http_status", "logref", "id", "lead_id", "created_at"),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
bodies = st.binary(max_size=40) | documents.map(lambda document: json.dumps(document).encode())
statuses = st.sampled_from([200, 201, 204, 301, 304, 400, 401, 403, 404, 408, 409, 422, 429, 451, 500, 503, 599, 999])
headers = st.dictionaries(st.sampled_from(["retry-after", "x-request-id"]), st.text(max_size=9))


@given(statuses, bodies, headers)
def test_every_answer_is_a_result_or_one_of_our_errors(status, body, headers):
    for read, wanted in ((read_page, ALL), (read_page, ListQuery(lead_id=5)), (read_conversion, LEAD)):
        with suppress(LeadConversionError):
            read(answer(status, body, **headers), wanted)
