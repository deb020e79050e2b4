"""Records of the API: the requests it takes and the conversions it returns."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from enum import StrEnum
from numbers import Number
from operator import index
from typing import Annotated, Any, SupportsIndex

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError, LeadConversionError

# Ids exceeded 2**31 by March 2023 (commit c3a954d of a .NET client), so they are treated as 64-bit.
MAX_ID = 2**63 - 1
Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
"""An id in a response. Others are an invalid response: the listing is walked by ids, and columns are 64-bit."""
_MAX_DIGITS = 300
"""Of a number that every reader of JSON takes; about what a float can hold."""
_SHOWN_BITS = 1_000
_DIGITS = re.compile(r"[\s\xa0]*([0-9]{1,100})[\s\xa0]*", re.ASCII)


class LeadConversion(msgspec.Struct, frozen=True, kw_only=True):
    """The conversion of a lead, as documented on the vendor's page on ``/v2/lead_conversions``.

    :param id: id of the conversion. The listing is sorted by it, newest first.
    :param lead_id: id of the lead.
    :param individual_id: id of the contact (a person) created from the lead, or ``None``.
    :param organization_id: id of the contact (a company) created from the lead, or ``None``.
    :param deal_id: id of the deal created from the lead, or ``None``.
    :param creator_id: id of the user who converted the lead, or ``None``.
    :param created_at_raw: time of the conversion as the API sent it.
    :param raw: the record as the API sent it, including keys unknown to this package; empty if it did not come from the
        API.
    """

    id: Id
    lead_id: Id
    individual_id: Id | None = None
    organization_id: Id | None = None
    deal_id: Id | None = None
    creator_id: Id | None = None
    created_at_raw: Any = msgspec.field(default=None, name="created_at")
    raw: bytes = msgspec.field(default=b"", name="airflow_provider_leadconv.raw")  # no key of the API

    @property
    def created_at(self) -> datetime | None:
        """Time of the conversion in UTC, or ``None`` if the API sent none or an invalid one.

        It does not increase with the id: in the vendor's own example, conversion 2 is one second older than 1.
        """
        if not isinstance(self.created_at_raw, str):
            return None
        try:
            moment = datetime.fromisoformat(self.created_at_raw)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):  # the offset of a date near year 1 or 9999 can leave the range
            return None

    def to_json(self) -> bytes:
        """Return the record as one line of JSON with every key as the API sent it."""
        if not self.raw:
            return msgspec.json.encode({key: getattr(self, name) for name, key in _DOCUMENTED.items()})
        if b"\n" in self.raw or b"\r" in self.raw:
            return msgspec.json.format(self.raw, indent=-1)
        return self.raw

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON types: all documented keys, even if the API omitted them, and any others.

        A number that is out of range, such as ``1e999``, is returned as text.
        """
        return {key: getattr(self, name) for name, key in _DOCUMENTED.items()} | (_decoded(self.raw) or {})


_DOCUMENTED = {field.name: field.encode_name for field in msgspec.structs.fields(LeadConversion) if field.name != "raw"}
COLUMNS = tuple(_DOCUMENTED.values())
"""The documented keys in the vendor's order: the columns of CSV, Parquet and SQL exports."""
ID_COLUMNS = COLUMNS[:-1]
"""All columns except ``created_at``: 64-bit integers."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of the listing.

    :param conversions: the conversions on this page, newest first.
    :param next_cursor: cursor of the next page, percent-encoded as in the API's link; ``None`` on the last page.
    :param total: number of conversions in the whole listing, if the page says so; most likely the API does not.
    """

    conversions: list[LeadConversion]
    next_cursor: str | None = None
    total: int | None = None


class ConversionRequest(msgspec.Struct, frozen=True):
    """A lead to convert. Ids may be decimal strings, and ``create_deal`` "true" or "false", as templates render them.

    :param lead_id: id of the lead.
    :param owner_id: id of the user who will own the created records; ``None``: the lead's owner (the API's default).
    :param create_deal: whether to create a deal as well; ``None``: the API's default, which is true.
    :raises InvalidRequestError: if a value is invalid; the message names the field.
    """

    lead_id: int
    owner_id: int | None = None
    create_deal: bool | None = None

    def __post_init__(self) -> None:
        force = msgspec.structs.force_setattr
        force(self, "lead_id", as_id(self.lead_id, "lead_id"))
        if self.owner_id is not None:
            force(self, "owner_id", as_id(self.owner_id, "owner_id"))
        if self.create_deal is not None:
            force(self, "create_deal", as_bool(self.create_deal, "create_deal"))

    @classmethod
    def from_input(cls, lead: int | str | Mapping[str, Any] | ConversionRequest) -> ConversionRequest:
        """Make a request from any of the forms in which users pass a lead.

        :param lead: an id, a mapping with ``lead_id`` and optionally ``owner_id`` and ``create_deal``, or a request.
        :raises InvalidRequestError: if a key is unknown or missing, or a value is invalid.
        """
        if isinstance(lead, ConversionRequest):
            return lead
        if not isinstance(lead, Mapping):
            return cls(lead)  # type: ignore[arg-type]  # __post_init__ turns strings into ids or refuses them
        unknown = [str(key) for key in lead if key not in cls.__struct_fields__]
        if unknown or "lead_id" not in lead:
            wrong = f"unknown keys {', '.join(unknown)}" if unknown else "no lead_id"
            raise InvalidRequestError(f"a lead has {wrong}; the keys are lead_id, owner_id and create_deal")
        return cls(**lead)


class ConversionStatus(StrEnum):
    """Result of a lead. Every lead of a run ends with exactly one of these."""

    CONVERTED = "converted"
    """Converted by this run."""
    EXISTING = "existing"
    """Converted before this run, or by another client during it."""
    FAILED = "failed"
    """Rejected by the API and not converted."""
    UNKNOWN = "unknown"
    """A request was sent, and its outcome could not be determined."""
    NOT_ATTEMPTED = "not_attempted"
    """The run stopped before a request was sent."""


class ConversionResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one lead.

    :param lead_id: id of the lead.
    :param status: the status.
    :param conversion: the conversion, if the lead is converted.
    :param error: the reason, if the lead is not converted.
    """

    lead_id: int
    status: ConversionStatus
    conversion: LeadConversion | None = None
    error: LeadConversionError | None = None


def as_id(value: object, name: str) -> int:
    """Check an id before it is sent.

    :param value: an integer of any type (such as NumPy's), or a string of decimal digits as templates render them.
    :param name: name of the value in error messages.
    :return: the id as an int.
    :raises InvalidRequestError: if it is not a positive 64-bit integer; a bool is not accepted.
    """
    if type(value) is int:  # nearly always; to check for a protocol takes far longer
        number = value
    elif isinstance(value, str) and (digits := _DIGITS.fullmatch(value)):
        number = int(digits[1])
    elif (found := _index(value)) is not None:
        number = found
    else:
        raise InvalidRequestError(f"{name} must be an integer, got {_describe(value)}")
    if not 1 <= number <= MAX_ID:
        raise InvalidRequestError(f"{name} must be between 1 and 2**63-1, got {_describe(value)}")
    return number


def _index(value: object) -> int | None:
    """Return an integer of another type as an int; ``None`` if the value is none."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        with suppress(TypeError):  # NumPy's arrays of several numbers have the method, too
            return index(value)
    return None


def as_bool(value: object, name: str) -> bool:
    """Check a boolean before it is sent.

    :param value: a bool, or "true" or "false" in any case, as templates render them.
    :param name: name of the value in error messages.
    :return: the value as a bool.
    :raises InvalidRequestError: if it is anything else.
    """
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in {"true", "false"}:
        raise InvalidRequestError(f"{name} must be true or false, got {_describe(value)}")
    return word == "true"


def _decoded(raw: bytes) -> dict[str, Any] | None:
    if not raw:
        return None
    try:
        record: dict[str, Any] = msgspec.json.decode(raw)
    except msgspec.ValidationError:  # of untyped JSON, only numbers out of range
        record = json.loads(raw, parse_float=_float_or_text, parse_int=_int_or_text)
    return record


def _float_or_text(number: str) -> float | str:
    value = float(number)
    return value if math.isfinite(value) else number


def _int_or_text(number: str) -> int | str:
    return int(number) if len(number) <= _MAX_DIGITS else number


def _describe(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > _SHOWN_BITS:  # Python refuses to write very long ones
        return f"one of {value.bit_length()} bits ({type(value).__name__})"
    # repr() of a container fails if it is nested very deeply.
    shown = repr(value) if isinstance(value, str | bytes | Number) else reprlib.repr(value)
    return f"{shown:.80} ({type(value).__name__})"
