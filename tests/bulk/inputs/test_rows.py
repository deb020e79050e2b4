from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of


@pytest.mark.parametrize("leads", [7, "7", {"lead_id": 7}, '{"lead_id": 7}', ConversionRequest(7), np.int64(7)])
def test_one_lead(leads):
    assert read_leads(rows_of(leads)) == [ConversionRequest(7)]


@pytest.mark.parametrize("leads", [[], "", " ", "[]", ()])
def test_no_leads(leads):
    assert list(rows_of(leads)) == []


TABLE = pd.DataFrame({1: [7], 2: [8]})
"""Iterating over it gives the names of its columns, here integers."""


@pytest.mark.parametrize("leads", [b"12", bytearray(b"12"), 1.5, None, object(), TABLE])
def test_what_is_no_batch(leads):
    with pytest.raises(InvalidRequestError, match="leads must be ids or rows"):
        list(rows_of(leads))


@pytest.mark.parametrize("leads", [np.array([1], dtype="float32"), pd.Series([1], dtype="float32")])
def test_a_batch_of_narrow_floats(leads):
    with pytest.raises(InvalidRequestError, match="leads is float32, in which neighbouring ids are the same number"):
        rows_of(leads)


@pytest.mark.parametrize("leads", ["[1, 2", "[1, foo]", "{'lead_id': 1", "[" + "9" * 1000])
def test_a_string_that_is_neither_json_nor_ids(leads):
    with pytest.raises(InvalidRequestError, match=r"^leads is neither JSON nor ids") as caught:
        list(rows_of(leads))
    assert len(str(caught.value)) < 300
