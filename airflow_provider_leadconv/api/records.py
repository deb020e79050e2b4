"""The records of the API: what it returns, and what it is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from operator import index
from typing import Any, SupportsIndex

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError, LeadConversionError

# Ids had passed 2**31 by March 2023 (a .NET client's commit c3a954d), so they are taken as 64-bit.
MAX_ID = 2**63 - 1
_DIGITS = re.compile(r"\s*[0-9]{1,19}\s*")


class LeadConversion(msgspec.Struct, frozen=True, kw_only=True):
    """A lead that was converted, as the vendor's page on ``/v2/lead_conversions`` documents it.

    :param id: id of the conversion. The listing is sorted by it, newest first.
    :param lead_id: id of the lead.
    :param individual_id: id of the contact (a person) the lead became, or ``None``.
    :param organization_id: id of the contact (a company) the lead became, or ``None``.
    :param deal_id: id of the deal made with it, or ``None``.
    :param creator_id: id of the user who converted the lead, or ``None``.
    :param created_at_text: time of the conversion as the API sent it.
    :param raw: the record as the API sent it, keys unknown to this package included; empty if made by hand.
    """

    id: int
    lead_id: int
    individual_id: int | None = None
    organization_id: int | None = None
    deal_id: int | None = None
    creator_id: int | None = None
    created_at_text: Any = msgspec.field(default=None, name="created_at")
    raw: bytes = msgspec.field(default=b"", name="airflow_provider_leadconv.raw")  # no key of the API

    @property
    def created_at(self) -> datetime | None:
        """Time of the conversion in UTC, or ``None`` if the API sent none or one nobody can read.

        It does not rise with the id: in the vendor's own example conversion 2 is a second older than 1.
        """
        if not isinstance(self.created_at_text, str):
            return None
        try:
            moment = datetime.fromisoformat(self.created_at_text)
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):  # an offset can push the first or the last day out of the calendar
            return None

    def to_json(self) -> bytes:
        """:return: the record on one line of JSON, lossless: every key the API sent, as it sent it."""
        if not self.raw:
            return msgspec.json.encode({key: getattr(self, name) for name, key in _DOCUMENTED.items()})
        if b"\n" in self.raw or b"\r" in self.raw:
            return msgspec.json.format(self.raw, indent=-1)
        return self.raw

    def to_dict(self) -> dict[str, Any]:
        """:return: plain JSON types: the documented keys, present even if the API left them out, and any others."""
        return {key: getattr(self, name) for name, key in _DOCUMENTED.items()} | (
            msgspec.json.decode(self.raw) if self.raw else {}
        )


_DOCUMENTED = {field.name: field.encode_name for field in msgspec.structs.fields(LeadConversion) if field.name != "raw"}
DOCUMENTED_KEYS = tuple(_DOCUMENTED.values())
"""The keys the vendor documents, in the vendor's order."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to a listing.

    :param conversions: the conversions on this page, newest first.
    :param next_cursor: where the next page starts, percent-encoded as in the API's link; ``None`` on the last.
    """

    conversions: list[LeadConversion]
    next_cursor: str | None = None


class ConversionRequest(msgspec.Struct, frozen=True):
    """A lead to convert. Ids may be decimal strings and ``create_deal`` "true" or "false", as templates render.

    :param lead_id: id of the lead.
    :param owner_id: id of the user who shall own what is created; ``None``: the lead's owner (API default).
    :param create_deal: whether a deal is created as well; ``None``: the API's default, which is true.
    :raises InvalidRequestError: naming the field whose value cannot be sent.
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
    def of(cls, lead: int | str | Mapping[str, Any] | ConversionRequest) -> ConversionRequest:
        """Take a lead in any of the forms users have it.

        :param lead: an id, a mapping with ``lead_id`` and maybe ``owner_id`` and ``create_deal``, or a request.
        :raises InvalidRequestError: if a key is unknown or missing, or a value cannot be sent.
        """
        if isinstance(lead, ConversionRequest):
            return lead
        if not isinstance(lead, Mapping):
            return cls(lead)  # type: ignore[arg-type]  # __post_init__ turns strings into ids or refuses them
        unknown = [str(key) for key in lead if key not in cls.__struct_fields__]
        if unknown or "lead_id" not in lead:
            wrong = f"unknown keys {', '.join(unknown)}" if unknown else "no lead_id"
            raise InvalidRequestError(f"a lead has {wrong}; its keys are lead_id, owner_id and create_deal")
        return cls(**lead)


class Outcome(StrEnum):
    """What became of a lead. Every lead of a job ends as exactly one of these."""

    CONVERTED = "converted"
    """By this job."""
    EXISTING = "existing"
    """Converted already, or by someone else meanwhile."""
    FAILED = "failed"
    """Refused by the API, and not converted."""
    UNKNOWN = "unknown"
    """A request was sent and its effect could not be established."""
    NOT_ATTEMPTED = "not_attempted"
    """The job stopped before this lead's turn."""


class ConversionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one lead.

    :param lead_id: id of the lead.
    :param outcome: one of the five words.
    :param conversion: the conversion, if the lead is converted.
    :param error: why it is not, if it is not.
    """

    lead_id: int
    outcome: Outcome
    conversion: LeadConversion | None = None
    error: LeadConversionError | None = None


def as_id(value: object, name: str) -> int:
    """Check an id before it is sent.

    :param value: an integer of any type (such as NumPy's), or a string of decimal digits as templates render them.
    :param name: what the error calls it.
    :raises InvalidRequestError: if it is no positive 64-bit integer; a bool is none.
    """
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        number = int(value)
    elif isinstance(value, SupportsIndex) and not isinstance(value, bool):
        number = index(value)
    else:
        raise InvalidRequestError(f"{name} must be an integer, got {_shown(value)}")
    if not 1 <= number <= MAX_ID:
        raise InvalidRequestError(f"{name} must be between 1 and 2**63-1, got {_shown(value)}")
    return number


def as_bool(value: object, name: str) -> bool:
    """Check a boolean before it is sent.

    :param value: a bool, or "true" or "false" in any case, as templates render them.
    :param name: what the error calls it.
    :raises InvalidRequestError: if it is anything else.
    """
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    if word not in {"true", "false"}:
        raise InvalidRequestError(f"{name} must be true or false, got {_shown(value)}")
    return word == "true"


def _shown(value: object) -> str:
    return f"{value!r:.80} ({type(value).__name__})"
