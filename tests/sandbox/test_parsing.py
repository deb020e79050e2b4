from __future__ import annotations

import pytest

from airflow_provider_leadconv.sandbox.parsing import decode_cursor, next_page_url

from .conftest import code

CURSOR = "eyJsYXN0X2lkIjo2NTA3ODF9\n"


def test_link_has_the_vendors_form_byte_for_byte():
    example = "https://api.getbase.com/v2/lead_conversions?cursor=eyJsYXN0X2lkIjo2NTA3ODF9%0A&per_page=25"
    assert next_page_url("https://api.getbase.com", 650781, 25) == example
    assert decode_cursor(CURSOR) == 650781


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("page", value) for value in ("0", "51", "-1", "x", "", "1.5", "true")],
        *[("per_page", value) for value in ("0", "201", "x")],
        *[("lead_id", value) for value in ("0", "1,2", "x", str(2**63))],
        *[("cursor", value) for value in ("", "x", CURSOR.strip(), CURSOR + "\n", "eyJsYXN0X2lkIjp9\n", "é")],
    ],
)
def test_invalid_parameter_is_400_without_logref(start, name, value):
    _, api = start()
    response = api.get(**{name: value})
    assert (response.status_code, code(response)) == (400, "invalid_param")
    body = response.json()
    assert f"'{name}'" in body["errors"][0]["error"]["details"]
    assert "logref" not in body["meta"]
    assert body["meta"]["http_status"] == "400 Bad Request"


@pytest.mark.parametrize(
    ("data", "field", "expected"),
    [
        ({}, "lead_id", "missing"),
        ({"lead_id": True}, "lead_id", "invalid_type"),
        ({"lead_id": 2.5}, "lead_id", "invalid_type"),
        ({"lead_id": "2"}, "lead_id", "invalid_type"),
        ({"lead_id": None}, "lead_id", "invalid_type"),
        ({"lead_id": 0}, "lead_id", "incorrect_value"),
        ({"lead_id": 2**63}, "lead_id", "incorrect_value"),
        ({"lead_id": 2, "owner_id": None}, "owner_id", "invalid_type"),
        ({"lead_id": 2, "create_deal": "true"}, "create_deal", "invalid_type"),
        ({"lead_id": 2, "colour": 1}, "colour", "unknown"),
    ],
)
def test_invalid_attribute_is_422_with_its_field(start, data, field, expected):
    _, api = start()
    response = api.session.post(api.url, json={"data": data})
    error = response.json()["errors"][0]["error"]
    assert (response.status_code, error["code"], error["field"]) == (422, expected, f"/data/{field}")


@pytest.mark.parametrize(
    ("body", "content_type", "status", "expected"),
    [
        (b"{", "application/json", 400, "invalid_payload"),
        (b"", "application/json", 400, "invalid_payload"),
        (b"\xff", "application/json", 400, "invalid_payload"),
        (b"[]", "application/json", 422, "incorrect_payload"),
        (b'{"data": 1}', "application/json", 422, "incorrect_payload"),
        (b'{"data": {"lead_id": 2}}', "text/plain", 400, "invalid_header"),
    ],
)
def test_invalid_payload_is_rejected(start, body, content_type, status, expected):
    _, api = start()
    response = api.session.post(api.url, data=body, headers={"Content-Type": content_type})
    assert (response.status_code, code(response)) == (status, expected)
