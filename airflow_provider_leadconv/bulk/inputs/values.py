"""One value of a row: an id, a setting, or nothing."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from airflow_provider_leadconv.api.models import as_bool, as_id
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.text import likely_encoding, readable

_FIRST_INEXACT = 2**53
"""From this on, several integers are the same float."""
_WHOLE = re.compile(r"([0-9]{1,100})\.0{1,20}")
"""As spreadsheets and data frames write a column of integers with gaps."""
_THOUSANDS = re.compile(r"([0-9]{1,3})\.000")
"""In many countries, a point separates the thousands."""
_BYTES_OF_FLOAT = 8
_EXPONENT = re.compile(r"\s*[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+\s*")


def is_blank(value: Any) -> bool:
    """Whether a value stands for none, as empty cells and gaps of data frames do."""
    value = plain(value)
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_id(value: Any, name: str) -> int:
    """Read an id, as files, databases and data frames have it.

    :param name: name of the value in messages.
    :raises InvalidRequestError: if it is none, or may be a rounded one: a conversion of the wrong lead cannot be
        undone.
    """
    check_width(value, name)
    value = plain(value)
    if isinstance(value, str):
        value = _without_zeros(value, name)
    if isinstance(value, Decimal):
        value = _without_fraction(value, name)
    if isinstance(value, float) and value.is_integer():
        value = _exact(int(value), value, name)
    return as_id(value, name)


def read_bool(value: Any, name: str) -> bool:
    """Read a setting that is true or false.

    :param name: name of the value in messages.
    :raises InvalidRequestError: if it is neither.
    """
    value = plain(value)
    if isinstance(value, str):
        _check_text(value, name)
    return as_bool(value, name)


def plain(value: Any) -> Any:
    """Return the Python value of a NumPy scalar, or of a NumPy array without dimensions."""
    if not hasattr(value, "item") or (hasattr(value, "__len__") and getattr(value, "ndim", None) != 0):
        return value
    # NumPy makes integers of times, which would be ids.
    return str(value) if _kind(value) in {"m", "M"} else value.item()


def check_width(value: Any, name: str) -> None:
    """Check that a NumPy scalar, an array or a series is not one of 16-bit or 32-bit floats.

    :raises InvalidLeadsError: if it is.
    """
    if _kind(value) == "f" and value.dtype.itemsize < _BYTES_OF_FLOAT:
        raise InvalidLeadsError(narrow(f"{name} is {value.dtype}"))


def narrow(what: str) -> str:
    """Return the message that 16-bit or 32-bit floats cannot be ids.

    :param what: its begin, such as ``lead_id is float32``.
    """
    return f"{what}, in which neighbouring ids are the same number: use int64 or strings instead"


def _kind(value: Any) -> str | None:
    """Return NumPy's letter for the kind of a type; ``None`` if the value is not of NumPy or pandas."""
    return getattr(getattr(value, "dtype", None), "kind", None)


def _without_zeros(text: str, name: str) -> str:
    """Return the digits of a whole number; any other text as it is."""
    _check_text(text, name)
    if _EXPONENT.fullmatch(text):
        raise _rounded(text, name)
    if thousands := _THOUSANDS.fullmatch(text.strip()):
        raise InvalidLeadsError(
            f"{name} may be {thousands[1]} or {thousands[1]}000, since a point separates thousands in some countries: "
            f"{text.strip()!r}; write it without a point"
        )
    whole = _WHOLE.fullmatch(text.strip())
    if not whole:
        return text
    return str(_exact(int(whole[1]), text, name))


def _without_fraction(value: Decimal, name: str) -> int | Decimal:
    """Return a whole number as an int; any other value as it is."""
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):  # infinite, or no number
        return value
    if exponent > 0:
        raise _rounded(value, name)
    if exponent == 0:
        return int(value)
    # Airflow's XComs keep a Decimal with decimal places as a float.
    return _exact(int(value), value, name) if value == value.to_integral_value() else value


def _exact(number: int, value: object, name: str) -> int:
    if abs(number) >= _FIRST_INEXACT:
        raise InvalidLeadsError(
            f"{name} may be a rounded float, since it is 2**53 or more: {value!r:.80}; "
            "pass it as an integer or a string of digits"
        )
    return number


def _check_text(value: str, name: str) -> None:
    if encoding := likely_encoding(value):
        raise InvalidLeadsError(
            f"{name} is not UTF-8 but probably {encoding}: {readable(value)!r:.80}; save the file as UTF-8"
        )


def _rounded(value: object, name: str) -> InvalidLeadsError:
    return InvalidLeadsError(
        f"{name} has an exponent, so digits may be lost: {value!s:.80}; write all its digits, "
        "in a spreadsheet by the number format 0"
    )
