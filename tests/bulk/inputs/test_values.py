from __future__ import annotations

from decimal import Decimal

import numpy as np
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
        np.int64(2147492099),
        np.float64(2147492099),
        np.array(2147492099),
        np.str_("2147492099"),
    ],
)
def test_an_id_in_every_form(value):
    assert read_id(value, "lead_id") == 2147492099


LAST_EXACT = 2**53 - 1


@pytest.mark.parametrize(
    "value", [LAST_EXACT, float(LAST_EXACT), str(LAST_EXACT), f"{LAST_EXACT}.0", Decimal(LAST_EXACT)]
)
def test_every_form_is_exact_below_2_to_the_53(value):
    assert read_id(value, "lead_id") == LAST_EXACT


@pytest.mark.parametrize("value", [2**53 + 1, str(2**53 + 1), Decimal(2**53 + 1), np.int64(2**53 + 1)])
def test_all_but_floats_are_exact_above(value):
    assert read_id(value, "lead_id") == 2**53 + 1


@pytest.mark.parametrize("value", ["12.000", "1.000", " 999.000 "])
def test_a_point_that_may_separate_thousands_is_refused(value):
    number = value.strip().removesuffix(".000")
    with pytest.raises(InvalidRequestError, match=f"lead_id may be {number} or {number}000, since a point separates"):
        read_id(value, "lead_id")


@pytest.mark.parametrize("value", ["12.0", "12.00", "12.0000", Decimal("12.000"), 12.000])
def test_a_point_that_does_not_separate_thousands(value):
    assert read_id(value, "lead_id") == 12


@pytest.mark.parametrize("value", ["2.1475E+09", "2e9", "2E-1", "2,5e+9", Decimal("2E9")])
def test_an_exponent_is_refused(value):
    with pytest.raises(InvalidRequestError, match="digits may be lost"):
        read_id(value, "lead_id")


@pytest.mark.parametrize(
    "value", [float(2**53), float(2**53 + 1), 1e300, f"{2**53 + 1}.0", np.float64(2**53), Decimal(f"{2**53 + 1}.0")]
)
def test_a_float_that_stands_for_several_integers_is_refused(value):
    with pytest.raises(InvalidRequestError, match=r"lead_id may be a rounded float, since it is 2\*\*53 or more"):
        read_id(value, "lead_id")


@pytest.mark.parametrize("value", [np.float16(7), np.float32(16777216), np.array(7, dtype="float32")])
def test_a_narrow_float_is_refused(value):
    with pytest.raises(InvalidRequestError, match=r"lead_id is float(16|32), in which neighbouring ids are the same"):
        read_id(value, "lead_id")


@pytest.mark.parametrize("value", [np.datetime64(5, "ns"), np.timedelta64(5, "ns"), np.longdouble(7)])
def test_a_numpy_scalar_that_is_no_number_or_exceeds_pythons(value):
    with pytest.raises(InvalidRequestError, match="lead_id must be an integer"):
        read_id(value, "lead_id")


@pytest.mark.parametrize(
    "value", ["", "1.5", "1_000", "0x5", "٣", "-5.0", "5\x1d", "\x1c5", 0.5, -1.0, float("nan"), None]
)
def test_what_is_no_id(value):
    with pytest.raises(InvalidRequestError, match="lead_id must be"):
        read_id(value, "lead_id")


@pytest.mark.parametrize("value", [True, "TRUE", " true ", np.bool_(True)])
def test_true_in_every_form(value):
    assert read_bool(value, "create_deal") is True


@pytest.mark.parametrize("value", [1, "yes", "WAHR", 1.0, None])
def test_what_is_neither_true_nor_false(value):
    with pytest.raises(InvalidRequestError, match="create_deal must be true or false"):
        read_bool(value, "create_deal")


@pytest.mark.parametrize(
    ("value", "blank"),
    [(None, True), (" \t", True), (float("nan"), True), (np.float32("nan"), True), (0, False), ("x", False)],
)
def test_what_stands_for_nothing(value, blank):
    assert is_blank(value) is blank
