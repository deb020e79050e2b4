"""What it means when a request did not get what it asked for: an answer, or the lack of one -> a typed error.

Throttling wears four faces here: 429 with and without a body, a 404 about a path ``/429.json``
(zendesk/basecrm-ruby#81), and 409 (dreamdata-io/tap-zendesk-sell). Failures come in the documented envelope and as
empty bodies, HTML of a gateway, ``{"status": 500}`` even on a 2xx, and JSON without ``errors``.
"""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_leadconv.api.errors import (
    AuthenticationError,
    ConnectionConfigError,
    FieldError,
    InvalidRequestError,
    InvalidResponseError,
    LeadConversionError,
    PermissionDeniedError,
    RateLimitedError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.messages import PATH, Answer, NoAnswer

_EXCERPT = 300
_MAX_TEXT = 200
_MAX_SAID = 1000


def refusal(method: str, answer: Answer) -> LeadConversionError | None:
    """:return: the error an answer stands for, or ``None`` for a 2xx, unless its body says that it failed."""
    content = _json(answer.body)
    status = _true_status(answer.status, content)
    if 200 <= status < 300:
        return None
    errors = _field_errors(content)
    code = next((error.code for error in errors if error.code), None)
    said = ("; ".join(map(str, errors))[:_MAX_SAID] or _excerpt(answer.body)).rstrip(".")
    disguise = f" in a {answer.status}" if status != answer.status else ""
    return _class_for(method, answer, status, code)(
        f"the API answered {status}{disguise}: {said}",
        status=status,
        code=code,
        field_errors=errors,
        request_id=_request_id(answer, content),
        method=method,
        path=PATH,
        retry_after=_text(answer.headers.get("retry-after")),
    )


def unusable(method: str, answer: Answer, what: str) -> LeadConversionError:
    """:return: the error of a 2xx that nothing can be taken from; after a POST that leaves the outcome unknown."""
    kind = UnknownOutcomeError if method == "POST" else InvalidResponseError
    return kind(
        f"the API answered {answer.status} with {what}; body: {_excerpt(answer.body)}",
        status=answer.status,
        request_id=_request_id(answer),
        method=method,
        path=PATH,
    )


def failure(method: str, missing: NoAnswer) -> LeadConversionError:
    """:return: the error that the lack of an answer stands for."""
    kind: type[LeadConversionError] = UnavailableError
    if missing.misconfigured:
        kind = ConnectionConfigError
    elif missing.sent and method == "POST":
        kind = UnknownOutcomeError
    return kind(missing.reason, method=method, path=PATH)


def _excerpt(body: bytes) -> str:
    """The beginning of a body on one line."""
    text = " ".join(body[: 4 * _EXCERPT].decode("utf-8", "replace").split())
    return f"{text[:_EXCERPT]}..." if len(text) > _EXCERPT else text or "(empty)"


def _request_id(answer: Answer, content: object = None) -> str | None:
    """The server's id of the request: ``meta.logref``, or the header that repeats it."""
    logref = _get(_get(content, "meta"), "logref")
    return _text(logref if isinstance(logref, str) else answer.headers.get("x-request-id"))


def _class_for(method: str, answer: Answer, status: int, code: str | None) -> type[LeadConversionError]:
    throttled = status == 429 or (status == 404 and b"/429.json" in answer.body)
    contradictory = status != answer.status
    # A 409 may be throttling or a conflict; a 3xx, 408 or 5xx of a gateway may hide a request that went through.
    # For a read that is a reason to ask again; for a conversion it proves nothing.
    doubtful = status in {408, 409} or not 400 <= status < 500
    if method == "POST" and (contradictory or (doubtful and not throttled)):
        return UnknownOutcomeError
    if throttled or status == 409:
        return RateLimitedError
    if status >= 500 or status == 408:
        return UnavailableError
    if method == "GET" and status == 404 and code != "not_found":
        return ConnectionConfigError  # there is no such path on this host
    return _ANSWERED.get(status, ConnectionConfigError if status < 400 else InvalidRequestError)


_FAILURES = frozenset(map(str, range(400, 600)))
_ANSWERED: dict[int, type[LeadConversionError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    407: ConnectionConfigError,
}


def _true_status(status: int, content: object) -> int:
    """The status a 2xx contradicts itself with, as ``{"status": 500}`` or ``{"meta": {"http_status": "422 ..."}}``."""
    if not 200 <= status < 300 or _get(content, "data") is not None or _get(content, "items") is not None:
        return status
    if _field_errors(content) or _get(content, "error") is not None:
        named = _get(content, "status") or str(_get(_get(content, "meta"), "http_status"))[:3]
        return int(named) if str(named) in _FAILURES else 500
    return status


def _field_errors(content: object) -> tuple[FieldError, ...]:
    entries = _get(content, "errors")
    errors: list[FieldError] = []
    room = _MAX_SAID
    for entry in entries if isinstance(entries, list) else ():
        texts = {name: _text(_get(_get(entry, "error"), name)) for name in FieldError.__struct_fields__}
        room -= sum(map(len, filter(None, texts.values())))
        if errors and room < 0:
            break
        if any(texts.values()):
            errors.append(FieldError(**texts))
    return tuple(errors)


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:_MAX_TEXT]


def _get(content: object, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
