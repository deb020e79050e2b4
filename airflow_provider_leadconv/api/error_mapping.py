"""What it means when a request did not get what it asked for: a response, or the lack of one -> a typed error.

The API signals throttling in four ways: 429 with and without a body, a 404 about a path ``/429.json``
(zendesk/basecrm-ruby#81), and 409 (dreamdata-io/tap-zendesk-sell). Failures come in the documented envelope and as
empty bodies, HTML of a gateway, ``{"status": 500}`` even on a 2xx, and JSON without ``errors``.
"""

from __future__ import annotations

import html
import re
from base64 import b64decode
from typing import Any
from urllib.parse import unquote

import msgspec

from airflow_provider_leadconv.api.exceptions import (
    JSON_ERRORS,
    RETIREMENT,
    AuthenticationError,
    ConnectionConfigError,
    FieldError,
    InvalidRequestError,
    InvalidResponseError,
    LeadConversionError,
    PermissionDeniedError,
    RateLimitedError,
    RequestNotSentError,
    RetiredError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.http import PATH, Response, TransportFailure

_MAX_TEXT = 200
_MAX_SAID = 1000
_MAX_EXAMINED = 20_000
# Fields of JSON bodies that gateways and frameworks send in place of ``errors``.
_SAYING = ("message", "error_description", "error", "title", "detail")
_TITLE = re.compile(rb"<title>(.{1,1000}?)</title>", re.IGNORECASE | re.DOTALL)
_JSON_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}")


def error_from_response(method: str, response: Response) -> LeadConversionError | None:
    """Return the error a response stands for, or ``None`` for a 2xx, unless its body says that it failed."""
    content = _json(response.body)
    errors = _field_errors(response, content)
    status = _true_status(response.status_code, content, errors)
    if 200 <= status < 300:
        return None
    code = next((error.code for error in errors if error.code), None)
    said = ("; ".join(map(str, errors))[:_MAX_SAID] or _description(response, content)).rstrip(".")
    disguise = f" in the body of a {response.status_code}" if status != response.status_code else ""
    kind = _class_for(method, response, status, code)
    return kind(
        f"the API answered {status}{disguise}: {said}",
        status_code=status,
        code=code,
        field_errors=errors,
        request_id=_request_id(response, content),
        method=method,
        path=PATH,
        retry_after=_text(response, response.headers.get("retry-after")),
        remedy=_remedy(kind, status, code),
    )


def unusable_response(method: str, response: Response, what: str, *, remedy: str | None = None) -> LeadConversionError:
    """Return the error of a 2xx that nothing can be taken from; after a POST that leaves the result unknown.

    :param what: what the response contains, for the message.
    :param remedy: what to do; default: that of the error's class.
    """
    kind = UnknownOutcomeError if method == "POST" else InvalidResponseError
    came = _text(response, response.unreadable) or f"{what}; body: {_description(response, _json(response.body))}"
    return kind(
        f"the API answered {response.status_code} with {came}",
        status_code=response.status_code,
        request_id=_request_id(response),
        method=method,
        path=PATH,
        remedy=remedy,
    )


def error_from_transport_failure(method: str, missing: TransportFailure) -> LeadConversionError:
    """Return the error that the lack of a response stands for."""
    kind: type[LeadConversionError] = UnavailableError
    if missing.misconfigured:
        kind = ConnectionConfigError
    elif missing.sent and method == "POST":
        kind = UnknownOutcomeError
    remedy = None if kind is UnknownOutcomeError else missing.remedy
    return kind(missing.reason, method=method, path=PATH, remedy=remedy)


def error_from_unforeseen(method: str, error: Exception) -> LeadConversionError:
    """Return the error of an attempt that ended in an unexpected exception.

    The exception is not quoted, as it may hold the token.
    """
    message = f"the request ended in an unexpected {type(error).__name__}"
    if method == "POST":
        return UnknownOutcomeError(message, method=method, path=PATH)
    remedy = "Report it to the maintainers of this package, with the traceback."
    return InvalidResponseError(message, method=method, path=PATH, remedy=remedy)


def after_retirement(error: LeadConversionError) -> LeadConversionError:
    """Return what an error means once Sell is retired.

    How the API will fail then is not documented. A refusal of a read is final. Whatever else fails may be for good, but
    may also pass, so it keeps its class. The outcome of a conversion is never judged by the date.
    """
    if isinstance(error, RateLimitedError | RequestNotSentError | RetiredError):
        return error
    if error.method == "GET" and error.status_code in _REFUSED_FOR_GOOD:
        return RetiredError(**{**vars(error), "remedy": None})
    error.message += f"; Zendesk retired Sell on {RETIREMENT:%Y-%m-%d}, so this may be permanent"
    error.after_retirement = True
    return error


def _description(response: Response, content: object) -> str:
    """What a body without ``errors`` says; never the body itself, which may echo a token in any notation."""
    if unreadable := _text(response, response.unreadable):
        return unreadable
    if not response.body:
        return "an empty body"
    said = next((text for key in _SAYING if isinstance(text := _get(content, key), str) and text), None)
    if said is None and (title := _TITLE.search(response.body)):
        said = html.unescape(title[1].decode("utf-8", "replace"))
    kind = _text(response, response.headers.get("content-type")) or "no content type"
    return _text(response, said) or f"a body of {len(response.body)} bytes, {kind}"


def _text(response: Response, value: object) -> str | None:
    """A text of a response as an error may quote it: short, on one line of a log, and without the token."""
    if not isinstance(value, str | int):
        return None
    text = str(value)
    if len(text) > _MAX_EXAMINED:
        return f"({len(text)} characters)"
    safe = text if response.secret is None else _redacted(text, response.secret.reveal())
    return " ".join("".join(each if each.isprintable() else " " for each in safe).split())[:_MAX_TEXT]


def _redacted(text: str, secret: str) -> str:
    """Remove a secret; a text that has it in another notation is replaced as a whole."""
    plain = re.sub(re.escape(secret), "***", text, flags=re.IGNORECASE)
    unescaped = html.unescape(unquote(_JSON_ESCAPE.sub(lambda match: chr(int(match[1], 16)), plain)))
    from_base64 = "".join(_base64_decoded(run[start:]) for run in _BASE64.findall(unescaped) for start in range(4))
    return "***" if secret.casefold() in f"{unescaped} {from_base64}".casefold() else plain


def _base64_decoded(run: str) -> str:
    padded = run.replace("-", "+").replace("_", "/") + "A" * (-len(run) % 4)
    return b64decode(padded).decode("latin-1")


def _request_id(response: Response, content: object = None) -> str | None:
    """The server's id of the request: ``meta.logref``, or the header that repeats it."""
    logref = _get(_get(content, "meta"), "logref")
    return _text(response, logref if isinstance(logref, str) else response.headers.get("x-request-id"))


def _class_for(method: str, response: Response, status: int, code: str | None) -> type[LeadConversionError]:
    throttled = status == 429 or (status == 404 and b"/429.json" in response.body)
    contradictory = status != response.status_code
    # A 409 may be throttling or a conflict; a 3xx, 408 or 5xx of a gateway may hide a request that went through.
    # For a read that is a reason to ask again; for a conversion it proves nothing.
    doubtful = status in {408, 409} or not 400 <= status < 500
    if method == "POST" and (contradictory or (doubtful and not throttled)):
        return UnknownOutcomeError
    if throttled or status == 409:
        return RateLimitedError
    if status >= 500 or status == 408:
        return UnavailableError
    if method == "GET" and status == 410:
        return RetiredError
    if method == "GET" and status == 404 and code != "not_found":
        return ConnectionConfigError  # there is no such path on this host
    return _ANSWERED.get(status, ConnectionConfigError if status < 400 else InvalidRequestError)


def _remedy(kind: type[LeadConversionError], status: int, code: str | None) -> str | None:
    """Return the remedy for a response, or ``None`` for that of the class."""
    if kind is PermissionDeniedError and code == "insufficient_scope":
        return "Create a token with the scope it lacks: reading needs 'read', converting needs 'read' and 'write'."
    if kind is InvalidRequestError and status == 404:
        return "Check that the lead exists, and that the token's user may see it."
    if kind is ConnectionConfigError:
        return _CONFIG_REMEDIES.get(status, _REDIRECTED if 300 <= status < 400 else None)
    return None


_REDIRECTED = "Correct the host of the connection: redirects are not followed."
_CONFIG_REMEDIES = {
    404: "Correct the host of the connection: it has no such path. The default is Sell's, https://api.getbase.com",
    407: 'Put user and password into "proxy" in the extra of the connection: http://user:password@host:port',
}
_REFUSED_FOR_GOOD = frozenset({*range(300, 400), 401, 403, 404, 410})
_FAILURES = frozenset(map(str, range(400, 600)))
_ANSWERED: dict[int, type[LeadConversionError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    407: ConnectionConfigError,
}


def _true_status(status: int, content: object, errors: tuple[FieldError, ...]) -> int:
    """The status a 2xx contradicts itself with, as ``{"status": 500}`` or ``{"meta": {"http_status": "422 ..."}}``."""
    if not 200 <= status < 300 or _get(content, "data") is not None or _get(content, "items") is not None:
        return status
    if errors or _get(content, "error") is not None:
        named = _get(content, "status") or str(_get(_get(content, "meta"), "http_status"))[:3]
        return int(named) if str(named) in _FAILURES else 500
    return status


def _field_errors(response: Response, content: object) -> tuple[FieldError, ...]:
    entries = _get(content, "errors")
    errors: list[FieldError] = []
    remaining = _MAX_SAID
    for entry in entries if isinstance(entries, list) else ():
        texts = {name: _text(response, _get(_get(entry, "error"), name)) for name in FieldError.__struct_fields__}
        remaining -= sum(map(len, filter(None, texts.values())))
        if errors and remaining < 0:
            break
        if any(texts.values()):
            errors.append(FieldError(**texts))
    return tuple(errors)


def _get(content: object, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None


def _json(body: bytes) -> object:
    try:
        return msgspec.json.decode(body)
    except JSON_ERRORS:
        return None
