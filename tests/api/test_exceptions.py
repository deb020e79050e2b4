"""Errors as values: they travel between processes, and their text says what to do."""

from __future__ import annotations

import copy
import pickle

import pytest

from airflow_provider_leadconv.api import exceptions
from airflow_provider_leadconv.api.exceptions import FieldError, LeadConversionError, UnknownOutcomeError

KINDS = [
    kind
    for kind in vars(exceptions).values()
    if isinstance(kind, type) and issubclass(kind, LeadConversionError) and kind is not LeadConversionError
]


def made(kind: type[LeadConversionError]) -> LeadConversionError:
    return kind(
        "the API answered 422: blank",
        status_code=422,
        code="blank",
        field_errors=(FieldError(code="blank", field="/data/lead_id"),),
        request_id="r-1",
        method="POST",
        path="/v2/lead_conversions",
        retry_after="7",
        connection="sell",
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "travel",
    [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_an_error_survives_the_journey_to_another_process(kind, travel):
    error = made(kind)
    error.sent_at = 12.5
    arrived = travel(error)
    assert type(arrived) is kind
    assert vars(arrived) == vars(error)
    assert str(arrived) == str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_says_what_happened_where_and_what_to_do_next(kind):
    what = "the API answered 422: blank (connection 'sell', POST /v2/lead_conversions, request id r-1)."
    assert str(made(kind)) == f"{what} {kind.remedy}".rstrip()
    assert kind.remedy.endswith(".") or kind is exceptions.InvalidRequestError


def test_an_error_before_any_request_names_no_request():
    assert str(exceptions.InvalidRequestError("page is 0")) == "page is 0."
    error = exceptions.ConnectionConfigError("page is 0", remedy="Correct it.", connection="sell")
    assert str(error) == "page is 0 (connection 'sell'). Correct it."


def test_wrong_input_is_a_value_error_and_throttling_is_a_kind_of_being_unavailable():
    assert issubclass(exceptions.InvalidRequestError, ValueError)
    assert issubclass(exceptions.RateLimitedError, exceptions.UnavailableError)
    assert not issubclass(UnknownOutcomeError, exceptions.UnavailableError), "it would be repeated"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FieldError(code="blank", field="/data/x", message="leer", details="is blank"), "/data/x: blank: is blank"),
        (FieldError(message="leer"), "leer"),
        (FieldError(code="blank"), "blank"),
        (FieldError(), ""),
    ],
)
def test_a_field_error_reads_well_with_whatever_it_has(error, text):
    assert str(error) == text
