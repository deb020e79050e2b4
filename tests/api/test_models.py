"""Records: nothing the API sends is lost, and nothing it could not take is sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.codec import read_page
from airflow_provider_leadconv.api.exceptions import InvalidRequestError, InvalidResponseError
from airflow_provider_leadconv.api.models import (
    COLUMNS,
    MAX_ID,
    ConversionRequest,
    LeadConversion,
    as_bool,
    as_id,
)
from airflow_provider_leadconv.api.queries import ListQuery
from tests.support.responses import page, response, row


def received(data: dict[str, Any]) -> LeadConversion:
    return read_page(response(200, page(data)), ListQuery()).conversions[0]


def test_ids_are_64_bit():
    big = 2**63 - 1
    conversion = received(row(big, big, individual_id=2**40))
    assert (conversion.id, conversion.lead_id, conversion.individual_id) == (big, big, 2**40)


@pytest.mark.parametrize("key", ["individual_id", "organization_id", "deal_id", "creator_id", "created_at"])
def test_what_may_be_null_may_be_absent_too(key):
    absent = row(1)
    del absent[key]
    for data in (row(1) | {key: None}, absent):
        assert received(data).to_dict()[key] is None


@pytest.mark.parametrize("key", ["id", "lead_id"])
def test_a_conversion_without_its_ids_is_none(key):
    with pytest.raises(InvalidResponseError, match=key):
        received(row(1) | {key: None})


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2021-02-17T16:32:56Z", datetime(2021, 2, 17, 16, 32, 56, tzinfo=UTC)),
        ("2021-02-17T16:32:56.123456789Z", datetime(2021, 2, 17, 16, 32, 56, 123456, tzinfo=UTC)),
        ("2021-02-17T17:32:56+01:00", datetime(2021, 2, 17, 16, 32, 56, tzinfo=UTC)),
        ("2021-02-17T16:32:56", datetime(2021, 2, 17, 16, 32, 56, tzinfo=UTC)),
        ("9999-12-31T00:00:00Z", datetime(9999, 12, 31, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        ("", None),
        (1613579576, None),
        ({"at": 1}, None),
    ],
)
def test_created_at_is_read_leniently_and_never_costs_a_record(text, moment):
    conversion = received(row(1, created_at=text))
    assert conversion.created_at == moment
    assert conversion.to_dict()["created_at"] == text


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: key not in COLUMNS), json_values, max_size=4))
def test_unknown_keys_are_kept(more):
    data = row(5) | more
    conversion = received(data)
    assert conversion.to_dict() == data
    line = conversion.to_json()
    assert msgspec.json.decode(line) == data
    assert b"\n" not in line


def test_a_record_is_exported_as_it_was_sent_digit_for_digit():
    raw = b'{"id":1,"lead_id":2,"x":1.10000000000000000001e+3}'
    body = b'{"items":[{"data":' + raw + b"}]}"
    assert read_page(response(200, body), ListQuery()).conversions[0].to_json() == raw


def test_a_record_sent_over_several_lines_becomes_one_line():
    body = b'{"items":[{"data":{"id":1,\r\n "lead_id":\n2,"x":"a b"}}]}'
    line = read_page(response(200, body), ListQuery()).conversions[0].to_json()
    assert line == b'{"id":1,"lead_id":2,"x":"a b"}'


def test_a_record_made_by_hand_has_the_documented_keys_in_order():
    made = LeadConversion(id=1, lead_id=2, created_at_raw="2021-02-17T16:32:56Z")
    assert tuple(made.to_dict()) == COLUMNS == tuple(msgspec.json.decode(made.to_json()))


def test_a_kept_record_does_not_keep_its_page():
    conversion = received(row(1))
    assert type(conversion.raw) is bytes


class Index:
    """As NumPy's and Arrow's integers are."""

    def __index__(self) -> int:
        return 42


@pytest.mark.parametrize(
    ("value", "number"), [(1, 1), (MAX_ID, MAX_ID), ("12", 12), (" 12\n", 12), ("007", 7), (Index(), 42)]
)
def test_an_id_is_an_integer_or_its_digits(value, number):
    assert as_id(value, "lead_id") == number


@pytest.mark.parametrize(
    "value",
    [
        *(True, False, 0, -1, MAX_ID + 1, 1.0, None, [], b"1", np.array([1, 2])),
        *("0", "-1", "+1", "1.0", "1e3", "1_000", "0x1", "", " ", "٣", "1 2", "9" * 19, "9" * 5000, "{{ lead }}"),
    ],
)
def test_an_invalid_id_is_refused_with_a_short_message(value):
    with pytest.raises(InvalidRequestError, match="lead_id must be") as caught:
        as_id(value, "lead_id")
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(("value", "truth"), [(True, True), (False, False), ("True", True), (" false ", False)])
def test_a_boolean_may_be_a_rendered_template(value, truth):
    assert as_bool(value, "create_deal") is truth


@pytest.mark.parametrize("value", [0, 1, "1", "yes", "", None, "None", []])
def test_an_invalid_boolean_is_refused(value):
    with pytest.raises(InvalidRequestError, match="create_deal must be true or false"):
        as_bool(value, "create_deal")


@pytest.mark.parametrize(
    "lead",
    [
        ConversionRequest(5, 6, True),
        {"lead_id": 5, "owner_id": 6, "create_deal": True},
        {"lead_id": "5", "owner_id": "6", "create_deal": "True"},
    ],
)
def test_a_lead_comes_in_any_form(lead):
    assert ConversionRequest.from_input(lead) == ConversionRequest(5, 6, True)


@pytest.mark.parametrize(
    ("lead", "says"),
    [
        ({"lead_id": 5, "ownerid": 6}, "unknown keys ownerid"),
        ({"owner_id": 6}, "no lead_id"),
        ({"lead_id": None}, "lead_id must be an integer"),
        ({"lead_id": 5, "owner_id": 0}, "owner_id must be between"),
        ({"lead_id": 5, "create_deal": 1}, "create_deal must be true or false"),
        (True, "lead_id must be an integer"),
        (None, "lead_id must be an integer"),
        ([5], "lead_id must be an integer"),
    ],
)
def test_a_lead_that_cannot_be_sent_is_refused(lead, says):
    with pytest.raises(InvalidRequestError, match=says):
        ConversionRequest.from_input(lead)
