"""The rows of an input, with their places in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.values import check_width, plain
from airflow_provider_leadconv.rendered import parse_rendered


class InputRow(NamedTuple):
    """A row, and where it is.

    :param place: for messages, such as ``line 3``.
    :param value: the row, or the error that it was read with.
    """

    place: str
    value: Any


def only_item(row: Any) -> Any:
    """Return the item of a row that has one, as SQL operators and NumPy have rows; anything else as it is."""
    is_list = isinstance(row, Sequence) and not isinstance(row, str | bytes | bytearray)
    is_array = hasattr(row, "__array_interface__") and row.ndim == 1
    return row[0] if (is_list or is_array) and len(row) == 1 else row


def rows_of(value: Any) -> Iterable[Any]:
    """Find the rows in what a user passed as ``leads``.

    :param value: an iterable of rows, one row, or a string that a template rendered: JSON, a Python literal as Jinja
        writes lists, or ids separated by commas.
    :raises InvalidRequestError: if it is none of these.
    """
    check_width(value, "leads")
    value = plain(value)
    if isinstance(value, str):
        value = parse_rendered(value, "leads")
    if getattr(value, "columns", None) is not None:
        raise InvalidLeadsError(f"leads must be ids or rows, got {type(value).__name__}: pass its rows as objects")
    if isinstance(value, int | Mapping | ConversionRequest):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return value
    raise InvalidLeadsError(f"leads must be ids or rows, got {type(value).__name__}")
