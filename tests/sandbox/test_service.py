from __future__ import annotations

import pytest

from .conftest import code


def test_each_kind_of_lead_is_converted_to_its_objects(start):
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


def test_an_unconverted_lead_was_converted_zero_times(start):
    sandbox, api = start(leads=2)
    first, second = sandbox.leads
    api.post(first)
    assert [sandbox.conversion_counts[lead] for lead in (first, second, 5)] == [1, 0, 0]
    assert list(sandbox.conversion_counts) == [first]


def test_owner_deal_and_status_are_as_requested(start):
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
def test_second_conversion_gives_the_configured_response(start, second_conversion, status):
    sandbox, api = start(second_conversion=second_conversion)
    lead = sandbox.leads[0]
    first, second = api.post(lead), api.post(lead)
    assert second.status_code == status
    assert sandbox.conversion_counts == {lead: 2 if second_conversion == "new" else 1}
    if second_conversion == "refuse":
        assert code(second) == "already_exists"
    if second_conversion == "same":
        assert second.json() == first.json()


def test_unknown_or_unconvertible_lead_is_rejected(start):
    sandbox, api = start()
    assert (api.post(5).status_code, code(api.post(5))) == (404, "not_found")
    sandbox.change_settings(unknown_lead="invalid")
    assert (api.post(5).status_code, code(api.post(5))) == (422, "incorrect_value")
    (lead,) = sandbox.add_leads(1, convertible=False)
    assert api.post(lead).status_code == 422
    assert lead not in sandbox.leads


@pytest.mark.parametrize(
    ("shape", "status"), [("throttle_429_empty", 429), ("throttle_404", 404), ("throttle_409", 409)]
)
def test_throttling_has_the_configured_shape(start, shape, status):
    _, api = start(rate=1, throttle_shape=shape, retry_after=3)
    api.get()
    response = api.get()
    assert response.status_code == status
    assert response.headers["Retry-After"] == "3"
