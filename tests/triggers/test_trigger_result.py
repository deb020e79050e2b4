"""The payload of a sensor's trigger event, there and back."""

from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.api import exceptions
from airflow_provider_leadconv.api.exceptions import FieldError, InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.triggers.trigger_result import (
    TriggerResult,
    TriggerStatus,
    error_payload,
    read_payload,
    success_payload,
    timeout_payload,
)

KINDS = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, LeadConversionError)]


def as_json(payload):
    return json.loads(json.dumps(payload))


def test_conversions_come_back_as_dicts():
    conversions = [LeadConversion(id=2, lead_id=5), LeadConversion(id=1, lead_id=6)]
    expected = TriggerResult(TriggerStatus.SUCCESS, [each.to_dict() for each in conversions])
    assert read_payload(as_json(success_payload(conversions))) == expected


def test_a_timeout_comes_back_without_conversions():
    assert read_payload(as_json(timeout_payload())) == TriggerResult(TriggerStatus.TIMEOUT, [])


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_comes_back_as_the_same_error(kind):
    error = kind(
        "the API answered 422",
        status_code=422,
        code="incorrect_value",
        request_id="r-1",
        method="GET",
        path="/v2/lead_conversions",
        retry_after="7",
        field_errors=(FieldError(code="incorrect_value", field="/data/lead_id"),),
    )
    with pytest.raises(kind) as caught:
        read_payload(as_json(error_payload(error)))
    assert type(caught.value) is kind
    assert vars(caught.value) == vars(error)


def test_an_error_of_another_version_is_at_least_a_lead_conversion_error():
    payload = as_json(error_payload(InvalidRequestError("no")))
    payload["error"]["type"] = "BrandNewError"
    with pytest.raises(LeadConversionError, match="no"):
        read_payload(payload)


@pytest.mark.parametrize(
    "event", [None, "success", {}, {"status": "done"}, {"status": "success"}, {"status": "error", "error": {"type": 1}}]
)
def test_an_unknown_event_is_refused(event):
    with pytest.raises(ValueError, match="does not know"):
        read_payload(event)
