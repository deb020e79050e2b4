"""One exception class for each thing a caller can do about it.

Every error says what happened, where, and what to do next. None carries a token, and none carries more than
an excerpt of an answer's body.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the ``errors`` list of an answer.

    :param code: machine-readable code such as ``already_exists``; stable, unlike the message.
    :param message: text in the language of the account.
    :param details: text in English.
    :param resource: kind of record the error is about, if any.
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
    """Root of everything this package raises about the API.

    :param message: what happened, in one sentence without a full stop.
    :param status: HTTP status of the answer; ``None`` if there was none.
    :param code: first error code of the answer, such as ``unauthorized``.
    :param field_errors: every error of the answer.
    :param request_id: the server's id of the request (``meta.logref`` or ``X-Request-Id``), for its support.
    :param method: HTTP method of the request; ``None`` if nothing was to be sent.
    :param path: path of the request.
    :param retry_after: the answer's ``Retry-After`` header as it came.
    """

    remedy: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        field_errors: tuple[FieldError, ...] = (),
        request_id: str | None = None,
        method: str | None = None,
        path: str | None = None,
        retry_after: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.field_errors = field_errors
        self.request_id = request_id
        self.method = method
        self.path = path
        self.retry_after = retry_after

    def __str__(self) -> str:
        where = f"{self.method} {self.path}: " if self.method else ""
        request_id = f" (request id {self.request_id})" if self.request_id else ""
        return f"{where}{self.message}{request_id}. {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, vars(self))


def _rebuild(kind: type[LeadConversionError], message: str, state: dict[str, Any]) -> LeadConversionError:
    """Unpickle; an exception's own way does not know keyword arguments."""
    error = kind(message)
    vars(error).update(state)
    return error


class ConnectionConfigError(LeadConversionError):
    """The Airflow connection, the proxy or the certificates are wrong: fix the connection."""

    remedy = "Correct the Airflow connection (host, proxy, verify) named by leadconv_conn_id."


class AuthenticationError(LeadConversionError):
    """401, the token is missing, malformed, expired or revoked: fix the token."""

    remedy = (
        "Put a valid access token into the password of the Airflow connection: "
        "in Sell, Settings > Integrations > OAuth > Access Tokens."
    )


class PermissionDeniedError(LeadConversionError):
    """403, the token is good but may not do this: get permission."""

    remedy = (
        "Give the token the scope it lacks (reading needs 'read', converting needs 'read' and 'write'), "
        "or ask a Sell administrator for the right to these leads."
    )


class InvalidRequestError(LeadConversionError, ValueError):
    """The input is wrong, found out before sending or by the API (400, 404, 422 ...): fix the input."""

    remedy = "Correct the value named above."


class UnavailableError(LeadConversionError):
    """The API could not be reached or answered 5xx, until ``retry_timeout`` was over: wait.

    Never raised for a conversion that may have reached the server; see :class:`UnknownOutcomeError`.
    """

    remedy = "Run the task again later; Zendesk's status page is status.zendesk.com, component Sell."


class RateLimitedError(UnavailableError):
    """The API refused for too many requests, until ``retry_timeout`` was over: wait, or send less."""

    remedy = (
        "Every user of this token shares one limit (10 requests/s): "
        "run the task again later, or lower requests_per_second in the connection's extra."
    )


class UnknownOutcomeError(LeadConversionError):
    """A conversion was sent and nobody knows what became of it: look it up, do not just send it again."""

    sent_at: float | None = None
    """When it was sent, on the clock of its client; not earlier than ``timeout`` before the attempt ended."""

    remedy = "Look the lead up (GET /v2/lead_conversions?lead_id=...) before converting it again."


class InvalidResponseError(LeadConversionError):
    """The answer contradicts the API's documentation or itself: report it."""

    remedy = "Nothing was taken from this answer; report it with the request id if it happens again."


class LeadsNotConvertedError(LeadConversionError):
    """A batch ended with more leads unconverted than its policy allows: see the reasons, then run it again."""

    remedy = "Running it again converts only leads that are not converted yet."


class DuplicateConversionError(LeadConversionError):
    """A lead was converted twice: remove by hand what was created twice."""

    remedy = "Conversions cannot be undone by the API: in Sell, merge or delete the contacts and deals created twice."
