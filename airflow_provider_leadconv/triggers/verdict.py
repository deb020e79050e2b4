"""What the trigger of a deferred sensor tells it, as plain JSON: no class of ours is pickled between processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from airflow_provider_leadconv.api import errors
from airflow_provider_leadconv.api.errors import FieldError, LeadConversionError
from airflow_provider_leadconv.api.records import LeadConversion

TIMED_OUT: dict[str, Any] = {"status": "timeout"}
_PLAIN = ("message", "status", "code", "request_id", "method", "path", "retry_after")


def succeeded(conversions: Iterable[LeadConversion]) -> dict[str, Any]:
    """:return: the event of a trigger that found all it waited for."""
    return {"status": "success", "conversions": [conversion.to_dict() for conversion in conversions]}


def failed(error: LeadConversionError) -> dict[str, Any]:
    """:return: the event of a trigger for which waiting on makes no sense."""
    plain = {name: getattr(error, name) for name in _PLAIN}
    return {
        "status": "error",
        "error": {"type": type(error).__name__, **plain, "field_errors": msgspec.to_builtins(error.field_errors)},
    }


def conversions_of(event: Any) -> list[dict[str, Any]] | None:
    """Read an event.

    :return: the conversions, or ``None`` if the time was over.
    :raises LeadConversionError: the one the trigger ended with.
    :raises ValueError: if it is no event of this version's trigger.
    """
    match event:
        case {"status": "success", "conversions": list(conversions)}:
            return conversions
        case {"status": "timeout"}:
            return None
        case {"status": "error", "error": {"type": str()} as error}:
            raise _rebuilt(**error)
    raise ValueError(f"the trigger sent an event that this version does not know: {event!r:.200}")


def _rebuilt(*, type: str, message: str, field_errors: list[dict[str, Any]], **plain: Any) -> LeadConversionError:  # noqa: A002
    kind = getattr(errors, type, LeadConversionError)
    return kind(message, field_errors=msgspec.convert(field_errors, tuple[FieldError, ...]), **plain)
