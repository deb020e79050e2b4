"""The leads of a bulk conversion: taken in every form users have them, checked before anything is sent."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.records import ConversionRequest, Outcome, as_bool, as_id

WOULD_CONVERT = "would_convert"
"""What a dry run says of a lead that is not converted."""

_AGAIN = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED, WOULD_CONVERT)
_DONE = (Outcome.CONVERTED, Outcome.EXISTING)
_SHOWN_ERRORS = 10
_EXACT = 2**53
"""Below this, no two integers are the same float."""


def read_leads(
    rows: Iterable[Any], *, owner_id: Any = None, create_deal: Any = None, limit: int | None = None
) -> list[ConversionRequest]:
    """Check rows and make requests of them, each lead once.

    A row is an id, a mapping with ``lead_id`` and maybe ``owner_id`` and ``create_deal``, or a one-element list of an
    id as SQL operators return it. A row with ``outcome`` is a line of a results file: it is taken if its lead is not
    converted, and passed over if it is. A row may also be the error it was read with. Repeated leads are taken once.

    :param owner_id: default for rows that have none.
    :param create_deal: default for rows that have none.
    :param limit: take so many leads at most.
    :raises InvalidRequestError: listing the first bad rows by number, counted from 1; also for a lead that is repeated
        with other settings.
    """
    defaults = {
        "owner_id": None if _is_blank(owner_id) else as_id(owner_id, "owner_id"),
        "create_deal": None if _is_blank(create_deal) else as_bool(create_deal, "create_deal"),
    }
    leads: dict[int, ConversionRequest] = {}
    first_row: dict[int, int] = {}
    wrong: list[str] = []
    for number, row in enumerate(rows, 1):
        if len(leads) == limit:
            break
        if len(wrong) == _SHOWN_ERRORS:
            wrong.append("maybe more")
            break
        try:
            lead = _lead(row, defaults)
        except InvalidRequestError as error:
            wrong.append(f"row {number}: {error.message}")
            continue
        if lead is None:
            continue
        if leads.setdefault(lead.lead_id, lead) != lead:
            both = f"rows {first_row[lead.lead_id]} and {number}"
            wrong.append(f"{both}: lead {lead.lead_id} with different owner_id or create_deal")
        first_row.setdefault(lead.lead_id, number)
    if wrong:
        raise InvalidRequestError("bad input, nothing was converted: " + "; ".join(wrong))
    return list(leads.values())


def rows_of(value: Any) -> Iterable[Any]:
    """Find the rows in what a user passed as ``leads``.

    :param value: an iterable of rows, one row, or a string that a template rendered: JSON, a Python literal as Jinja
        writes lists, or ids separated by commas.
    :raises InvalidRequestError: if it is none of these.
    """
    if isinstance(value, str):
        value = _parse(value)
    if isinstance(value, int | Mapping | ConversionRequest):
        return [value]
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return value
    raise InvalidRequestError(f"leads must be ids or rows, got {type(value).__name__}")


def _parse(text: str) -> Any:
    stripped = text.strip()
    if not stripped.startswith(("[", "{", "(")):
        return [part for part in map(str.strip, stripped.split(",")) if part]
    try:
        return json.loads(stripped)
    except ValueError:
        pass
    try:
        return ast.literal_eval(stripped)
    except (ValueError, SyntaxError) as error:
        shown = f"{stripped[:80]}..." if len(stripped) > 80 else stripped
        raise InvalidRequestError(f"leads is a string but neither JSON nor ids separated by commas: {shown}") from error


def _lead(row: Any, defaults: Mapping[str, Any]) -> ConversionRequest | None:
    if isinstance(row, InvalidRequestError):
        raise row
    if isinstance(row, Sequence) and not isinstance(row, str | bytes | bytearray) and len(row) == 1:
        row = row[0]
    if isinstance(row, Mapping):
        if "outcome" in row:
            if row["outcome"] in _DONE:
                return None
            if row["outcome"] not in _AGAIN:
                raise InvalidRequestError(f"outcome is none of {', '.join((*_DONE, *_AGAIN))}: {row['outcome']!r:.80}")
            row = {name: row.get(name) for name in ConversionRequest.__struct_fields__}
        row = {name: _plain(value) for name, value in row.items() if not _is_blank(value)}
    lead = ConversionRequest.of(_plain(row))
    missing = {name: value for name, value in defaults.items() if value is not None and getattr(lead, name) is None}
    return msgspec.structs.replace(lead, **missing) if missing else lead


def _plain(value: Any) -> Any:
    """Make a plain value of what databases and data frames have instead: ``Decimal``, NumPy's scalars, floats that
    are whole because a column with gaps holds no integers.
    """
    if hasattr(value, "item") and not hasattr(value, "__len__"):  # NumPy
        value = value.item()
    if isinstance(value, Decimal | float) and math.isfinite(value) and value == int(value):
        return int(value) if isinstance(value, Decimal) or abs(value) < _EXACT else value
    return value


def _is_blank(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))
