"""The result of a sensor's trigger, and its trigger event payload.

The payload is plain JSON, so that no class of this package is pickled between processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from airflow_provider_leadconv.api import exceptions
from airflow_provider_leadconv.api.exceptions import FieldError, LeadConversionError
from airflow_provider_leadconv.api.models import LeadConversion

_ERROR_ATTRIBUTES = (
    "message",
    "status_code",
    "code",
    "request_id",
    "method",
    "path",
    "retry_after",
    "remedy",
    "connection",
)


class TriggerStatus(StrEnum):
    """How a trigger ended."""

    SUCCESS = "success"
    """All leads are converted."""
    TIMEOUT = "timeout"
    """The deadline has passed."""
    ERROR = "error"
    """An error that waiting cannot resolve."""


class TriggerResult(NamedTuple):
    """The result of a trigger that did not end with an error.

    :param conversions: the conversions as plain JSON types; empty after a timeout.
    """

    status: TriggerStatus
    conversions: list[dict[str, Any]]


def success_payload(conversions: Iterable[LeadConversion]) -> dict[str, Any]:
    """Return the payload of a trigger that has found all conversions."""
    return {
        "status": TriggerStatus.SUCCESS.value,
        "conversions": [conversion.to_dict() for conversion in conversions],
    }


def timeout_payload() -> dict[str, Any]:
    """Return the payload of a trigger whose deadline has passed."""
    return {"status": TriggerStatus.TIMEOUT.value}


def error_payload(error: LeadConversionError) -> dict[str, Any]:
    """Return the payload of a trigger that ended with an error."""
    attributes = {name: getattr(error, name) for name in _ERROR_ATTRIBUTES}
    field_errors = msgspec.to_builtins(error.field_errors)
    return {
        "status": TriggerStatus.ERROR.value,
        "error": {"type": type(error).__name__, **attributes, "field_errors": field_errors},
    }


def read_payload(payload: Any) -> TriggerResult:
    """Parse the payload of a trigger event.

    :param payload: the payload, which may come from another version of this package.
    :return: the result.
    :raises LeadConversionError: the error that the trigger ended with.
    :raises ValueError: if this version does not know the payload.
    """
    match payload:
        case {"status": TriggerStatus.SUCCESS.value, "conversions": list(conversions)}:
            return TriggerResult(TriggerStatus.SUCCESS, conversions)
        case {"status": TriggerStatus.TIMEOUT.value}:
            return TriggerResult(TriggerStatus.TIMEOUT, [])
        case {"status": TriggerStatus.ERROR.value, "error": {"type": str()} as error}:
            raise _error_from_payload(**error)
    raise ValueError(f"the trigger sent an event that this version does not know: {payload!r:.200}")


def _error_from_payload(
    *,
    type: str,  # noqa: A002
    message: str,
    field_errors: list[dict[str, Any]],
    **attributes: Any,
) -> LeadConversionError:
    error_class = getattr(exceptions, type, LeadConversionError)
    return error_class(message, field_errors=msgspec.convert(field_errors, tuple[FieldError, ...]), **attributes)
