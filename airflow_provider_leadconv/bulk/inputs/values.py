"""One value of a row: an id, a setting, or nothing."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from airflow_provider_leadconv.api.models import as_bool, as_id
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.text import likely_encoding, readable

_EXACT = 2**53
"""Up to this, no two integers are the same float."""
_WHOLE = re.compile(r"([0-9]{1,100})\.0{1,20}")
"""As spreadsheets and data frames write a column of integers with gaps."""
_EXPONENT = re.compile(r"\s*[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+\s*")


def is_blank(value: Any) -> bool:
    """Whether a value stands for none, as empty cells and gaps of data frames do."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def read_id(value: Any, name: str) -> int:
    """Read an id, as files, databases and data frames have it.

    :param name: name of the value in messages.
    :raises InvalidRequestError: if it is none, or may be a rounded one: a conversion of the wrong lead cannot be
        undone.
    """
    value = _plain(value)
    if isinstance(value, str):
        _check_text(value, name)
        if _EXPONENT.fullmatch(value):
            raise _rounded(value, name)
        if whole := _WHOLE.fullmatch(value.strip()):
            value = whole[1]
    if isinstance(value, Decimal) and value.is_finite():
        exponent = value.as_tuple().exponent
        if isinstance(exponent, int) and exponent > 0:
            raise _rounded(value, name)
        value = int(value) if value == value.to_integral_value() else value
    if isinstance(value, float) and value.is_integer():
        if abs(value) > _EXACT:
            raise InvalidLeadsError(
                f"{name} is a float above 2**53, which may be rounded: {value!r}; pass it as an integer or a string"
            )
        value = int(value)
    return as_id(value, name)


def read_bool(value: Any, name: str) -> bool:
    """Read a setting that is true or false.

    :param name: name of the value in messages.
    :raises InvalidRequestError: if it is neither.
    """
    value = _plain(value)
    if isinstance(value, str):
        _check_text(value, name)
    return as_bool(value, name)


def _plain(value: Any) -> Any:
    """Return the Python value of a NumPy scalar."""
    return value.item() if hasattr(value, "item") and not hasattr(value, "__len__") else value


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
