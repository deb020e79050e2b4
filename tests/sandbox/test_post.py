from __future__ import annotations

import pytest

from .conftest import code


def test_each_kind_of_lead(start):
    sandbox, api = start(leads=30)
    made = set()
    for lead in sandbox.leads:
        response = api.post(lead)
        assert response.status_code == 200
        data = response.json()["data"]
        assert data == sandbox.conversions[0]
        assert data["deal_id"]
        made.add((bool(data["individual_id"]), bool(data["organization_id"])))
    assert made == {(True, False), (False, True), (True, True)}
    assert set(sandbox.conversion_counts.values()) == {1}
    assert sandbox.leads == []


def test_owner_deal_and_status(start):
    sandbox, api = start(post_status=201)
    first, second = sandbox.leads[:2]
    response = api.post(first, owner_id=sandbox.owners[2], create_deal=False)
    assert response.status_code == 201
    assert response.json()["data"]["deal_id"] is None
    refused = api.post(second, owner_id=5)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["error"]["field"] == "/data/owner_id"
    assert second in sandbox.leads


@pytest.mark.parametrize(
    ("second_conversion", "status"),
    [("refuse", 422), ("not_found", 404), ("conflict", 409), ("same", 200), ("new", 200)],
)
def test_second_conversion(start, second_conversion, status):
    sandbox, api = start(second_conversion=second_conversion)
    lead = sandbox.leads[0]
    first, second = api.post(lead), api.post(lead)
    assert second.status_code == status
    assert sandbox.conversion_counts == {lead: 2 if second_conversion == "new" else 1}
    if second_conversion == "refuse":
        assert code(second) == "already_exists"
    if second_conversion == "same":
        assert second.json() == first.json()


def test_unknown_and_unconvertible_leads(start):
    sandbox, api = start()
    assert (api.post(5).status_code, code(api.post(5))) == (404, "not_found")
    sandbox.change_settings(unknown_lead="invalid")
    assert (api.post(5).status_code, code(api.post(5))) == (422, "incorrect_value")
    (lead,) = sandbox.add_leads(1, convertible=False)
    assert api.post(lead).status_code == 422
    assert lead not in sandbox.leads


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
def test_bad_bodies(start, data, field, expected):
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
def test_bad_payloads(start, body, content_type, status, expected):
    _, api = start()
    response = api.session.post(api.url, data=body, headers={"Content-Type": content_type})
    assert (response.status_code, code(response)) == (status, expected)
