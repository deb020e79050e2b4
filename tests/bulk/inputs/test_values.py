from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.bulk.inputs.values import is_blank, read_bool, read_id


@pytest.mark.parametrize(
    "value",
    [
        2147492099,
        "2147492099",
        " 2147492099\t",
        "2147492099.0",
        "2147492099.000",
        2147492099.0,
        Decimal("2147492099.00"),
    ],
)
def test_an_id_in_every_form(value):
    assert read_id(value, "lead_id") == 2147492099


@pytest.mark.parametrize("value", [2**53, float(2**53), f"{2**53}", Decimal(2**53)])
def test_every_form_is_exact_up_to_2_to_the_53(value):
    assert read_id(value, "lead_id") == 2**53


@pytest.mark.parametrize("value", [2**53 + 1, str(2**53 + 1), f"{2**53 + 1}.0", Decimal(2**53 + 1)])
def test_all_but_floats_are_exact_above(value):
    assert read_id(value, "lead_id") == 2**53 + 1


@pytest.mark.parametrize("value", ["2.1475E+09", "2e9", "2E-1", "2,5e+9", Decimal("2E9"), float(2**53 + 2), 1e300])
def test_what_may_be_rounded_is_refused(value):
    with pytest.raises(InvalidRequestError, match=r"digits may be lost|may be rounded"):
        read_id(value, "lead_id")


@pytest.mark.parametrize(
    "value", ["", "1.5", "1_000", "0x5", "٣", "-5.0", "5\x1d", "\x1c5", 0.5, -1.0, float("nan"), None]
)
def test_what_is_no_id(value):
    with pytest.raises(InvalidRequestError, match="lead_id must be"):
        read_id(value, "lead_id")


@pytest.mark.parametrize("value", [True, "TRUE", " true "])
def test_true_in_every_form(value):
    assert read_bool(value, "create_deal") is True


@pytest.mark.parametrize("value", [1, "yes", "WAHR", 1.0, None])
def test_what_is_neither_true_nor_false(value):
    with pytest.raises(InvalidRequestError, match="create_deal must be true or false"):
        read_bool(value, "create_deal")


@pytest.mark.parametrize(
    ("value", "blank"), [(None, True), (" \t", True), (float("nan"), True), (0, False), ("x", False)]
)
def test_what_stands_for_nothing(value, blank):
    assert is_blank(value) is blank
