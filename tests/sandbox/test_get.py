from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_provider_leadconv.sandbox.parsing import decode_cursor, next_page_url

from .conftest import code, ids

CURSOR = "eyJsYXN0X2lkIjo2NTA3ODF9\n"


def test_link_has_the_vendors_form_byte_for_byte():
    example = "https://api.getbase.com/v2/lead_conversions?cursor=eyJsYXN0X2lkIjo2NTA3ODF9%0A&per_page=25"
    assert next_page_url("https://api.getbase.com", 650781, 25) == example
    assert decode_cursor(CURSOR) == 650781


def test_whole_listing_by_cursor(start):
    sandbox, api = start(conversions=1_050)
    expected = [row["id"] for row in sandbox.conversions]
    found, params = [], {"per_page": 200}
    while True:
        page = api.get(**params).json()
        found += [item["data"]["id"] for item in page["items"]]
        assert page["meta"]["count"] == len(page["items"])
        link = page["meta"]["links"].get("next_page")
        if link is None:
            break
        query = parse_qs(urlsplit(link).query)
        assert set(query) == {"cursor", "per_page"}
        params["cursor"] = query["cursor"][0]
    assert found == expected
    assert len(sandbox.requests) == 6
    assert len({entry.client for entry in sandbox.requests}) == 1


def test_no_link_when_nothing_is_left(start):
    _, api = start(conversions=25)
    assert api.get().json()["meta"]["links"] == {}
    assert "next_page" in api.get(per_page=24).json()["meta"]["links"]


def test_pages_by_number(start):
    sandbox, api = start(conversions=60)
    expected = [row["id"] for row in sandbox.conversions]
    assert ids(api.get()) == expected[:25]
    assert ids(api.get(page=3)) == expected[50:]
    assert ids(api.get(page=50, per_page=200)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("page", value) for value in ("0", "51", "-1", "x", "", "1.5", "true")],
        *[("per_page", value) for value in ("0", "201", "x")],
        *[("lead_id", value) for value in ("0", "1,2", "x", str(2**63))],
        *[("cursor", value) for value in ("", "x", CURSOR.strip(), CURSOR + "\n", "eyJsYXN0X2lkIjp9\n", "é")],
    ],
)
def test_bad_parameters(start, name, value):
    _, api = start()
    response = api.get(**{name: value})
    assert (response.status_code, code(response)) == (400, "invalid_param")
    body = response.json()
    assert f"'{name}'" in body["errors"][0]["error"]["details"]
    assert "logref" not in body["meta"]
    assert body["meta"]["http_status"] == "400 Bad Request"


@pytest.mark.parametrize("field", ["lead_id", "individual_id", "organization_id", "deal_id", "creator_id"])
def test_filters(start, field):
    sandbox, api = start(conversions=300)
    value = next(row[field] for row in sandbox.conversions if row[field])
    expected = [row["id"] for row in sandbox.conversions if row[field] == value]
    assert ids(api.get(per_page=200, **{field: value})) == expected
    assert ids(api.get(**{field: 5})) == []


def test_item_shape(start):
    sandbox, api = start()
    api.post(sandbox.leads[0], create_deal=False)
    item = api.get().json()["items"][0]
    assert item["data"] == sandbox.conversions[0]
    assert item["meta"]["type"] == "lead_conversion"
    assert item["meta"]["links"]["deal"] is None
    assert api.get().headers["Content-Type"] == "application/json; charset=utf-8"


def test_arrivals(start):
    sandbox, api = start(conversions=10, arrivals=2)
    first, second = ids(api.get()), ids(api.get())
    assert second[2:] == first
    assert len(sandbox.conversions) == 14
