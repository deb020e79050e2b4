from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.records import ConversionRequest
from airflow_provider_leadconv.jobs.leads import read_leads, rows_of

IDS = [ConversionRequest(1), ConversionRequest(2)]


class Row(NamedTuple):
    id: int


class Scalar:
    """What NumPy has instead of a number."""

    def __init__(self, value):
        self.value = value

    def item(self):
        return self.value


@pytest.mark.parametrize(
    "leads",
    [
        [1, 2],
        (1, 2),
        {1: None, 2: None}.keys(),
        range(1, 3),
        iter([1, 2]),
        ["1", " 2 "],
        [[1], [2]],
        [("1",), ("2",)],
        [Row(1), Row(2)],
        [{"lead_id": 1}, {"lead_id": "2", "owner_id": None, "create_deal": ""}],
        [Decimal("1"), Decimal("2.0")],
        [1.0, {"lead_id": 2.0, "owner_id": float("nan")}],
        [Scalar(1), {"lead_id": Scalar(2)}],
        "[1, 2]",
        "['1', '2']",
        '[{"lead_id": 1}, {"lead_id": 2}]',
        "(1, 2)",
        " 1, 2 ,",
        "[(1,), (2,)]",
        [1, 2, 1, "2"],
    ],
)
def test_every_form_users_have_leads_in(leads):
    assert read_leads(rows_of(leads)) == IDS


@pytest.mark.parametrize("leads", [7, "7", {"lead_id": 7}, '{"lead_id": 7}', ConversionRequest(7)])
def test_one_lead(leads):
    assert read_leads(rows_of(leads)) == [ConversionRequest(7)]


@pytest.mark.parametrize("leads", [[], "", " ", "[]", ()])
def test_no_leads(leads):
    assert read_leads(rows_of(leads)) == []


@pytest.mark.parametrize("leads", [b"12", bytearray(b"12"), 1.5, None, object()])
def test_what_is_no_batch(leads):
    with pytest.raises(InvalidRequestError, match="leads must be ids or rows"):
        read_leads(rows_of(leads))


@pytest.mark.parametrize("leads", ["[1, 2", "[1, foo]", "{'lead_id': 1", "[" + "9" * 1000])
def test_a_string_that_is_neither_json_nor_ids(leads):
    with pytest.raises(InvalidRequestError, match=r"^leads is a string but neither JSON nor ids") as caught:
        read_leads(rows_of(leads))
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (0, "lead_id must be between 1 and 2**63-1"),
        (2**63, "lead_id must be between 1 and 2**63-1"),
        (-1, "lead_id must be between 1 and 2**63-1"),
        (True, "lead_id must be an integer, got True"),
        (1.5, "lead_id must be an integer, got 1.5"),
        (float(2**60), "lead_id must be an integer, got 1.15"),
        (Decimal("1.5"), "lead_id must be an integer"),
        (float("inf"), "lead_id must be an integer"),
        (Decimal("NaN"), "lead_id must be an integer"),
        (b"7", "lead_id must be an integer, got b'7'"),
        ("7.0", "lead_id must be an integer"),
        ("x", "lead_id must be an integer, got 'x' (str)"),
        (None, "lead_id must be an integer"),
        ([1, 2], "lead_id must be an integer"),
        ([], "lead_id must be an integer"),
        ({}, "a lead has no lead_id"),
        ({"lead_id": None}, "a lead has no lead_id"),
        ({"lead_id": 1, "ownerid": 2}, "a lead has unknown keys ownerid"),
        ({"lead_id": 1, "owner_id": "me"}, "owner_id must be an integer"),
        ({"lead_id": 1, "create_deal": "yes"}, "create_deal must be true or false"),
        ({"lead_id": 1, "outcome": "Failed"}, "outcome is none of converted, existing, failed"),
        ({"lead_id": 1, "outcome": []}, "outcome is none of"),
    ],
)
def test_a_bad_row_is_named_with_its_reason(row, reason):
    with pytest.raises(InvalidRequestError) as caught:
        read_leads([5, row])
    assert str(caught.value).startswith(f"bad input, nothing was converted: row 2: {reason}")


def test_the_first_ten_bad_rows_are_listed():
    with pytest.raises(InvalidRequestError) as caught:
        read_leads([1, *["x"] * 11])
    assert [f"row {number}:" in str(caught.value) for number in (1, 2, 11, 12)] == [False, True, True, False]
    assert "maybe more" in str(caught.value)


def test_repeated_with_other_settings():
    with pytest.raises(InvalidRequestError, match="rows 2 and 4: lead 7 with different owner_id or create_deal"):
        read_leads([1, {"lead_id": 7, "owner_id": 3}, 2, 7])


def test_repeated_with_the_same_settings_once_the_defaults_are_in():
    rows = [{"lead_id": 7, "owner_id": 3}, 7, {"lead_id": 8, "create_deal": False}]
    assert read_leads(rows, owner_id="3", create_deal="TRUE") == [
        ConversionRequest(7, 3, True),
        ConversionRequest(8, 3, False),
    ]


@pytest.mark.parametrize("blank", [None, "", "  "])
def test_defaults_that_a_template_rendered_to_nothing(blank):
    assert read_leads([1, 2], owner_id=blank, create_deal=blank) == IDS


def test_a_bad_default_is_an_error():
    with pytest.raises(InvalidRequestError, match="owner_id must be an integer"):
        read_leads([1], owner_id="x")


def test_limit_takes_leads_and_not_rows_and_reads_no_further():
    assert read_leads([1, 1, 2, "bad"], limit=2) == IDS
    with pytest.raises(InvalidRequestError, match="row 2"):
        read_leads([1, "bad", 2], limit=2)


def test_of_results_only_what_is_not_converted_is_taken():
    words = ("converted", "existing", "failed", "unknown", "not_attempted", "would_convert")
    rows = [
        {"lead_id": number, "owner_id": 9, "create_deal": None, "outcome": word, "error": {}, "run": "r"}
        for number, word in enumerate(words, 1)
    ]
    assert read_leads(rows) == [ConversionRequest(number, 9) for number in (3, 4, 5, 6)]
    assert read_leads(rows, limit=1) == [ConversionRequest(3, 9)]


@given(st.lists(st.integers(1, 50)))
def test_each_lead_once_in_the_order_of_the_input(ids):
    assert [lead.lead_id for lead in read_leads(ids)] == list(dict.fromkeys(ids))
