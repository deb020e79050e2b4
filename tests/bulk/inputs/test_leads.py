from __future__ import annotations

import logging
import re
from decimal import Decimal
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs import Columns, read_leads, rows_of

IDS = [ConversionRequest(1), ConversionRequest(2)]


class Row(NamedTuple):
    id: int


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value, 0]
    return value


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
        ["1.0", "2.00"],
        [{"Lead ID": 1, "Name": "x"}, {"LEAD_ID": 2, "Email": "x"}],
        [1.0, {"lead_id": 2.0, "owner_id": float("nan")}],
        [np.int64(1), {"lead_id": np.float64(2), "owner_id": np.float32("nan")}],
        np.array([1, 2]),
        np.array([1.0, 2.0]),
        np.array(["1", "2"]),
        np.array([[1], [2]]),
        np.array([{"lead_id": 1}, {"lead_id": 2}]),
        [np.array([1]), np.array(2)],
        pd.Series([1, 2]),
        pd.DataFrame({"lead_id": [1, 2]}).to_dict("records"),
        pd.DataFrame({"lead_id": [1, 2]}).to_numpy(),
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


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (0, "lead_id must be between 1 and 2**63-1"),
        (2**63, "lead_id must be between 1 and 2**63-1"),
        (-1, "lead_id must be between 1 and 2**63-1"),
        (True, "lead_id must be an integer, got True"),
        (1.5, "lead_id must be an integer, got 1.5"),
        (float(2**60), "lead_id may be a rounded float, since it is 2**53 or more: 1.15"),
        (np.float32(16777217), "lead_id is float32, in which neighbouring ids are the same number"),
        ({"lead_id": 1, "Owner_ID": np.float16(5)}, "'Owner_ID' is float16, in which"),
        (np.array([1, 2]), "lead_id must be an integer, got array([1, 2]) (ndarray)"),
        (np.array([[1]]), "lead_id must be an integer, got array([[1]]) (ndarray)"),
        ({"lead_id": np.array([1])}, "lead_id must be an integer, got array([1]) (ndarray)"),
        (np.array([(1,)], dtype=[("owner_id", "i8")])[0], "lead_id must be an integer, got (1,) (tuple)"),
        (Decimal("1.5"), "lead_id must be an integer"),
        (float("inf"), "lead_id must be an integer"),
        (Decimal("NaN"), "lead_id must be an integer"),
        (b"7", "lead_id must be an integer, got b'7'"),
        ("7.5", "lead_id must be an integer"),
        ("5\x1d", "lead_id must be an integer, got '5\\x1d' (str)"),
        ("2.1475E+09", "lead_id has an exponent, so digits may be lost: 2.1475E+09"),
        ("21475e5", "lead_id has an exponent"),
        (Decimal("2.1475E+09"), "lead_id has an exponent, so digits may be lost: 2.1475E+9"),
        (Decimal("sNaN"), "lead_id must be an integer, got Decimal('sNaN')"),
        (Decimal("Infinity"), "lead_id must be an integer, got Decimal('Infinity')"),
        (Decimal("1E+999999"), "lead_id has an exponent"),
        pytest.param(10**5000, "lead_id must be between 1 and 2**63-1, got one of 16610 bits (int)", id="huge"),
        pytest.param(nested(5000), "lead_id must be an integer, got [[[[", id="deep"),
        pytest.param({"lead_id": nested(5000)}, "lead_id must be an integer, got [[[[", id="deep value"),
        ("x", "lead_id must be an integer, got 'x' (str)"),
        (None, "lead_id must be an integer"),
        ([1, 2], "lead_id must be an integer"),
        ([], "lead_id must be an integer"),
        ({}, "no column lead_id in the row []; name the column"),
        ({"lead_id": None}, "lead_id is empty"),
        ({"lead_id": float("nan")}, "lead_id is empty"),
        ({"Lead ID": "x"}, "'Lead ID' must be an integer, got 'x' (str)"),
        ({"lead_id": 1, "ownerid": 2}, "column 'ownerid' resembles owner_id: rename it"),
        ({"lead_id": 1, "owner_id": "me"}, "owner_id must be an integer"),
        ({"lead_id": 1, "create_deal": "yes"}, "create_deal must be true or false"),
        ({"lead_id": 1, "run": "r", "status": "Failed"}, "status is none of converted, existing, failed"),
        ({"lead_id": 1, "run": "r", "status": []}, "status is none of"),
    ],
)
def test_a_bad_row_is_named_with_its_reason(row, reason):
    with pytest.raises(InvalidRequestError) as caught:
        read_leads([5, row])
    assert str(caught.value).startswith(f"leads: row 2: {reason}")


@pytest.mark.parametrize("number", ["2.1475E+09", "9007199254740993.0", "1.5", "12.000"])
def test_a_number_is_refused_as_json_and_as_a_python_literal(number):
    for text in (f'[{{"lead_id": {number}}}]', f"[{{'lead_id': {number}, 'Name': None}}]", f"7, {number}"):
        with pytest.raises(InvalidRequestError, match=re.escape(number)):
            read_leads(rows_of(text))


def test_the_first_ten_bad_rows_are_listed():
    with pytest.raises(InvalidRequestError) as caught:
        read_leads([1, *["x"] * 11])
    assert [f"row {number}:" in str(caught.value) for number in (1, 2, 11, 12)] == [False, True, True, False]
    assert "maybe more" in str(caught.value)


def test_repeated_with_other_settings():
    with pytest.raises(InvalidRequestError, match="row 4: lead 7 is in row 2 with different owner_id or create_deal"):
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
        {"lead_id": number, "owner_id": 9, "create_deal": None, "status": word, "error": {}, "run": "r"}
        for number, word in enumerate(words, 1)
    ]
    assert read_leads(rows) == [ConversionRequest(number, 9) for number in (3, 4, 5, 6)]
    assert read_leads(rows, limit=1) == [ConversionRequest(3, 9)]


@given(st.lists(st.integers(1, 50)))
def test_each_lead_once_in_the_order_of_the_input(ids):
    assert [lead.lead_id for lead in read_leads(ids)] == list(dict.fromkeys(ids))


def test_ignored_columns_are_named_once(caplog):
    caplog.set_level(logging.INFO)
    rows = [{"lead_id": 1, "Name": "x"}, {"lead_id": 2, "Name": "y", "Email": "z"}, {"lead_id": 3, "Email": None}]
    assert len(read_leads(rows, source="/data/x.jsonl")) == 3
    assert caplog.messages == ["Ignored columns of /data/x.jsonl: Name, Email"]


def test_columns_of_results_are_not_ignored_columns(caplog):
    caplog.set_level(logging.INFO)
    read_leads([{"lead_id": 1, "status": "failed", "run": "r", "creator_id": None}])
    assert caplog.messages == []


def test_another_column_of_ids():
    rows = [{"lead_id": "00Q5e", "Sell lead": 1}, {"lead_id": "00Q5f", "sell_lead": 2}]
    assert read_leads(rows, columns=Columns("Sell Lead")) == IDS


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals(), st.lists))
def test_any_row_is_a_lead_or_an_error(row):
    for value in (row, {"lead_id": row}, {"lead_id": 1, "owner_id": row}, {"lead_id": 1, "create_deal": row}):
        try:
            (lead,) = read_leads([value])
        except InvalidRequestError:
            continue
        assert lead.lead_id >= 1
