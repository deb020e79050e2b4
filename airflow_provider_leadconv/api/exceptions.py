"""Exceptions, one class for each action that a caller can take.

The text of an error has three parts: what failed, where, and the remedy if there is one for this very cause. No part
contains a token, or more than an excerpt of a response body.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

JSON_ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What ``msgspec`` raises for bytes that are not the expected JSON: malformed, not UTF-8, or nested too deeply."""

RETIREMENT = datetime(2027, 8, 31, tzinfo=UTC)
"""When Zendesk retires Sell and deletes its data (support.zendesk.com, article 9591462550042)."""


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ``errors`` list of a response.

    :param code: machine-readable code such as ``already_exists``; stable, unlike the message.
    :param message: text in the language of the account.
    :param details: text in English.
    :param resource: type of the record that the error is about, if any.
    :param field: JSON pointer to the offending field, such as ``/data/owner_id``, if any.
    """

    code: str | None = None
    message: str | None = None
    details: str | None = None
    resource: str | None = None
    field: str | None = None

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return where + ": ".join(part for part in (self.code, self.details or self.message) if part)


class LeadConversionError(Exception):
    """Base class of all errors of the API and of its use.

    :param message: what failed, as one sentence without a full stop.
    :param status_code: HTTP status of the response; ``None`` if there was none.
    :param code: first error code of the response, such as ``unauthorized``.
    :param field_errors: all errors of the response.
    :param request_id: the server's id of the request (``meta.logref`` or ``X-Request-Id``), for Zendesk's support.
    :param method: HTTP method of the request; ``None`` if the error is not about a request.
    :param path: path of the request.
    :param retry_after: the response's ``Retry-After`` header, unparsed.
    :param remedy: what to do, as a sentence; default: that of the class.
    :param connection: id of the Airflow connection of the client, if it has one.
    """

    remedy: str = ""
    after_retirement = False
    """Whether Sell was retired when the request failed."""

    def __init__(
        self,
        message: str,
        *,
        status_code: int | None = None,
        code: str | None = None,
        field_errors: tuple[FieldError, ...] = (),
        request_id: str | None = None,
        method: str | None = None,
        path: str | None = None,
        retry_after: str | None = None,
        remedy: str | None = None,
        connection: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status_code = status_code
        self.code = code
        self.field_errors = field_errors
        self.request_id = request_id
        self.method = method
        self.path = path
        self.retry_after = retry_after
        self.remedy = type(self).remedy if remedy is None else remedy
        self.connection = connection

    def __str__(self) -> str:
        where = [
            f"connection {self.connection!r}" if self.connection else "",
            f"{self.method} {self.path}" if self.method else "",
            f"request id {self.request_id}" if self.request_id else "",
        ]
        shown = ", ".join(filter(None, where))
        return f"{self.message}{f' ({shown})' if shown else ''}. {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, vars(self))


def _rebuild(kind: type[LeadConversionError], message: str, state: dict[str, Any]) -> LeadConversionError:
    """Unpickle an error. ``Exception.__reduce__`` does not support keyword arguments."""
    error = kind(message)
    vars(error).update(state)
    return error


class ConnectionConfigError(LeadConversionError):
    """The Airflow connection, the proxy or the TLS certificates are misconfigured: correct the connection."""

    remedy = "Correct the connection."


class AuthenticationError(LeadConversionError):
    """401, the token is missing, malformed, expired or revoked: replace the token."""

    remedy = (
        "Put an access token of Sell into the password of the connection; an administrator creates it in Sell under "
        "Settings > Integrations > OAuth > Access Tokens. A token of Zendesk Support is not valid for Sell."
    )


class PermissionDeniedError(LeadConversionError):
    """403, the token is valid but lacks the permission: grant it."""

    remedy = (
        "Check the scopes of the token (reading needs 'read', converting needs 'read' and 'write') "
        "and the role of its user in Sell."
    )


class RetiredError(LeadConversionError):
    """Sell is retired and its API is gone: stop the DAGs that use it."""

    remedy = (
        f"Zendesk retires Sell on {RETIREMENT:%Y-%m-%d} and deletes its data: stop the DAGs that use this connection."
    )


class InvalidRequestError(LeadConversionError, ValueError):
    """The input was rejected before sending, or by the API (400, 404, 422 ...): correct what the message names."""


class UnavailableError(LeadConversionError):
    """The API was unreachable or responded with 5xx until ``retry_timeout`` expired: try again later.

    Never raised for a conversion that may have reached the server; that raises :class:`UnknownOutcomeError`.
    """

    remedy = "Run the task again later; Zendesk's status page is status.zendesk.com, component Sell."


class RateLimitedError(UnavailableError):
    """The API throttled the request until ``retry_timeout`` expired: try again later, or send fewer requests."""

    remedy = (
        "Every user of this token shares one limit (10 requests/s): "
        "run the task again later, or lower requests_per_second in the connection's extra."
    )


class UnknownOutcomeError(LeadConversionError):
    """A conversion was sent and its outcome is unknown: look the lead up before sending it again."""

    sent_at: float | None = None
    """When it was sent, on the client's clock; the end of the attempt if it overran ``timeout``."""

    remedy = "Look the lead up (GET /v2/lead_conversions?lead_id=...) before converting it again."


class RequestNotSentError(LeadConversionError):
    """A conversion was held back at the last moment, because its run ends or its process was suspended."""

    remedy = "The lead was not sent: run the task again."


class InvalidResponseError(LeadConversionError):
    """The response contradicts the API's documentation or itself: report it to Zendesk."""

    remedy = (
        "The response was discarded: run the task again. If it fails again, report it to Zendesk with the request id."
    )


class LeadsNotConvertedError(LeadConversionError):
    """More leads than allowed were not converted: see the reasons, then run again."""

    remedy = "Running it again converts only leads that are not converted yet."


class DuplicateConversionError(LeadConversionError):
    """A lead was converted twice: remove the duplicate records by hand."""

    remedy = "Conversions cannot be undone by the API: in Sell, merge or delete the contacts and deals created twice."


PERMANENT_ERRORS = (
    AuthenticationError,
    PermissionDeniedError,
    ConnectionConfigError,
    RetiredError,
    InvalidRequestError,
)
"""Errors that a retry repeats until the connection, the token, the permissions or the input change."""
