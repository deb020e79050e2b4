"""The rows of an input, with their places in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.rendered import parse_rendered


class InputRow(NamedTuple):
    """A row, and where it is.

    :param place: for messages, such as ``line 3``.
    :param value: the row, or the error that it was read with.
    """

    place: str
    value: Any


def rows_of(value: Any) -> Iterable[Any]:
    """Find the rows in what a user passed as ``leads``.

    :param value: an iterable of rows, one row, or a string that a template rendered: JSON, a Python literal as Jinja
        writes lists, or ids separated by commas.
    :raises InvalidRequestError: if it is none of these.
    """
    if isinstance(value, str):
        value = parse_rendered(value, "leads")
    if isinstance(value, int | Mapping | ConversionRequest):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return value
    raise InvalidLeadsError(f"leads must be ids or rows, got {type(value).__name__}")
