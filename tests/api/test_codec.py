"""Requests from records, records from responses."""

from __future__ import annotations

import json
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.api.codec import conversion_request, read_conversion, read_page
from airflow_provider_leadconv.api.exceptions import (
    ConnectionConfigError,
    InvalidRequestError,
    InvalidResponseError,
    LeadConversionError,
    RateLimitedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.models import ConversionRequest, LeadConversion
from airflow_provider_leadconv.api.queries import FILTERS, ListQuery
from tests.support.responses import HTML, THROTTLED_AS_404, envelope, hostile_bodies, page, response, row, single

ALL = ListQuery()
LEAD = ConversionRequest(5)
CURSOR = "eyJsYXN0X2lkIjo2NTA3ODF9%0A"


# Whether to believe a body

NO_SUCCESS = [100, 103, 199, 300, 304, 307, 400, 401, 403, 404, 409, 410, 422, 429, 499, 500, 502, 503, 504, 599]


@pytest.mark.parametrize("status", NO_SUCCESS)
def test_a_valid_body_of_a_response_that_is_no_success_is_not_believed(status):
    with pytest.raises(LeadConversionError):
        read_page(response(status, page(row(2), row(1))), ALL)
    with pytest.raises(LeadConversionError):
        read_page(response(status, page(row(1, 5))), ListQuery(lead_id=5))
    with pytest.raises(LeadConversionError):
        read_conversion(response(status, single(9, 5)), LEAD)


@pytest.mark.parametrize("status", [200, 201, 203, 206, 299])
def test_a_valid_body_of_a_success_is_believed(status):
    assert len(read_page(response(status, page(row(2), row(1))), ALL).conversions) == 2
    assert read_conversion(response(status, single(9, 5)), LEAD).id == 9


# What is sent


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
    read = read_page(response(200, body), ALL)
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
    assert read_page(response(200, body), ALL).next_cursor == CURSOR


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
    assert read_page(response(200, {"items": [{"data": row(1)}]} | rest), ALL).next_cursor is None


@pytest.mark.parametrize(
    "link", ["https://api.getbase.com/v2/lead_conversions?page=2", "nonsense", "?cursor=", 7, ["?cursor=a"], {"a": 1}]
)
def test_a_link_without_a_cursor_is_an_error_not_an_end(link):
    with pytest.raises(InvalidResponseError, match="a link to the next page that has no cursor"):
        read_page(response(200, page(row(1), links={"next_page": link})), ALL)


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
        read_page(response(200, content), ALL)


@pytest.mark.parametrize(("count", "total"), [(2, None), (None, None), (201, 201), (5000, 5000)])
def test_a_count_of_the_items_or_above_the_page_size_is_taken(count, total):
    read = read_page(response(200, page(row(2), row(1), count=count)), ALL)
    assert (len(read.conversions), read.total) == (2, total)


@pytest.mark.parametrize("count", [0, 1, 3, 200])
def test_a_page_whose_count_is_neither_its_items_nor_a_total_is_an_error(count):
    with pytest.raises(InvalidResponseError, match=rf"a page of 2 items whose meta\.count is {count};"):
        read_page(response(200, page(row(2), row(1), count=count)), ALL)


@pytest.mark.parametrize("name", ["id", "lead_id", "deal_id", "creator_id"])
@pytest.mark.parametrize("value", [0, -1, 2**63, 2**64])
def test_an_id_that_is_none_is_an_error(name, value):
    with pytest.raises(InvalidResponseError, match="unreadable body"):
        read_page(response(200, page(row(2) | {name: value})), ALL)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("found", [8, None])
def test_rows_that_contradict_the_filter_are_an_error(name, found):
    if name == "lead_id" and found is None:
        found = 9
    with pytest.raises(InvalidResponseError, match=f"of {name} {found} to a query for {name} 4"):
        read_page(response(200, page(row(2, **{name: 4}), row(1, **{name: found}))), ListQuery(**{name: "4"}))


NOT_FOUND = response(404, envelope("404 Not Found", "not_found"))


def test_a_404_to_a_look_up_means_not_converted():
    assert read_page(NOT_FOUND, ListQuery(lead_id=4)).conversions == []


@pytest.mark.parametrize(
    ("reply", "query", "kind"),
    [
        (NOT_FOUND, ALL, InvalidRequestError),
        (NOT_FOUND, ListQuery(lead_id=4, cursor=CURSOR), InvalidRequestError),
        (response(404, envelope("404 Not Found", "incorrect_path")), ListQuery(lead_id=4), ConnectionConfigError),
        (response(404, HTML), ListQuery(lead_id=4), ConnectionConfigError),
        (THROTTLED_AS_404, ListQuery(lead_id=4), RateLimitedError),
    ],
)
def test_any_other_404_is_an_error(reply, query, kind):
    with pytest.raises(kind):
        read_page(reply, query)


# Answers to a POST


@pytest.mark.parametrize("status", [200, 201, 202])
def test_any_2xx_with_our_lead_is_a_conversion(status):
    assert read_conversion(response(status, single(9, 5)), LEAD).id == 9


def test_a_conversion_may_have_made_nothing_we_know_of():
    nothing = dict.fromkeys(["individual_id", "organization_id", "deal_id", "creator_id"])
    assert read_conversion(response(200, single(9, 5, **nothing)), LEAD).individual_id is None


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
def test_a_2xx_that_proves_nothing_leaves_the_result_unknown(content, status):
    with pytest.raises(UnknownOutcomeError):
        read_conversion(response(status, content), LEAD)


# Whatever comes


statuses = st.sampled_from([200, 201, 204, 301, 304, 400, 401, 403, 404, 408, 409, 422, 429, 451, 500, 503, 599, 999])
headers = st.dictionaries(st.sampled_from(["retry-after", "x-request-id"]), st.text(max_size=9))


def written(conversion):
    """What XComs, events, results files and exports make of a conversion."""
    as_json = json.dumps(conversion.to_dict(), allow_nan=False)
    assert msgspec.json.encode(conversion.to_dict())
    assert json.loads(as_json.encode())["id"] == conversion.id
    assert msgspec.json.decode(conversion.to_json(), type=LeadConversion).id == conversion.id


@settings(max_examples=1000)
@given(statuses, hostile_bodies, headers)
@example(200, b'{"items":[{"data":{"id":9,"lead_id":5,"unknown":1e999}}]}', {})
@example(200, b'{"items":[{"data":{"id":9,"lead_id":5,"unknown":%s}}]}' % (b"5" * 5000), {})
def test_every_response_is_a_result_that_can_be_written_or_one_of_our_errors(status, body, headers):
    reply = response(status, body, **headers)
    with suppress(LeadConversionError):
        for conversion in read_page(reply, ALL).conversions:
            written(conversion)
    with suppress(LeadConversionError):
        read_page(reply, ListQuery(lead_id=5))
    with suppress(LeadConversionError):
        written(read_conversion(reply, LEAD))


@pytest.mark.parametrize("levels", [99, 100])
def test_a_record_is_nested_100_levels_at_most(levels):
    nested = json.loads("[" * levels + "]" * levels)
    body = response(200, page(row(1, unknown=nested, text="{}" * 200)))
    if levels < 100:
        assert read_page(body, ALL).conversions[0].to_dict()["unknown"] == nested
    else:
        with pytest.raises(InvalidResponseError, match="nested more than 100 levels deep"):
            read_page(body, ALL)
