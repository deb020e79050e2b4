"""Answers: good ones, errors, and what faults make of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from airflow_provider_leadconv.sandbox.errors import (
    ApiError,
    conflict,
    incorrect_path,
    rate_limit_exceeded,
    simple_error,
)
from airflow_provider_leadconv.sandbox.transport import (
    HangUp,
    Huge,
    Late,
    TricklingBody,
    TricklingHeaders,
    Truncated,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_leadconv.sandbox.faults import Fault
    from airflow_provider_leadconv.sandbox.settings import Settings

_encode = msgspec.json.Encoder().encode

BARE_ERROR = {"status": 500, "error": "Internal Server Error"}


def answer(status: int, document: object, request_id: str) -> Response:
    """:param document: anything msgspec can encode.
    :param request_id: for the ``X-Request-Id`` header.
    """
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Language": "en",
        "Vary": "Accept-Encoding",
        "X-Request-Id": request_id,
    }
    return Response(_encode(document), status, headers)


def error_answer(error: ApiError, request_id: str) -> Response:
    """:return: the error in the documented envelope."""
    return answer(error.status, error.envelope(request_id), request_id)


def html(status: int, title: str) -> Response:
    """:return: a page such as the proxy in front of the API makes."""
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(page, status, {"Content-Type": "text/html"})


def _server_error(request_id: str) -> Response:
    error = simple_error(500, "server_error", "Server error.", "An unexpected error occurred.")
    return error_answer(error, request_id)


def _unavailable(request_id: str) -> Response:
    error = simple_error(503, "temporarily_unavailable", "Unavailable.", "The service is temporarily unavailable.")
    return error_answer(error, request_id)


# Fault -> answer in place of the work, given the request's id and method.
_INSTEAD: dict[str, Callable[[str, str], Response]] = {
    "throttle_429": lambda request_id, _: error_answer(rate_limit_exceeded(), request_id),
    "throttle_429_empty": lambda *_: Response(status_code=429),
    "throttle_404": lambda request_id, method: error_answer(incorrect_path("/429.json", method), request_id),
    "throttle_409": lambda request_id, _: error_answer(conflict(), request_id),
    "error_500": lambda request_id, _: _server_error(request_id),
    "error_500_bare": lambda request_id, _: answer(500, BARE_ERROR, request_id),
    "error_200_bare": lambda request_id, _: answer(200, BARE_ERROR, request_id),
    "error_500_empty": lambda *_: Response(status_code=500),
    "error_503": lambda request_id, _: _unavailable(request_id),
    "error_502_html": lambda *_: html(502, "502 Bad Gateway"),
    "error_504_html": lambda *_: html(504, "504 Gateway Time-out"),
    "html_200": lambda *_: html(200, "Welcome"),
    "no_meta_error": lambda request_id, _: answer(400, {"message": "Bad request"}, request_id),
    "drop_before": lambda *_: HangUp(),
    "late_commit": lambda *_: HangUp(),
}


def throttled(settings: Settings, shape: str, request_id: str, method: str) -> Response:
    """:param shape: name of a throttling fault."""
    response = _INSTEAD[shape](request_id, method)
    if settings.retry_after is not None:
        response.headers["Retry-After"] = str(settings.retry_after)
    return response


def answer_instead(fault: Fault, settings: Settings, request_id: str, method: str) -> Response:
    """:return: what is answered in place of the work."""
    if fault.name == "redirect":
        return Response(status_code=307, headers={"Location": f"{settings.foreign_url}/v2/lead_conversions"})
    if fault.name == "stall":
        return HangUp(seconds=fault.duration)
    if fault.name.startswith("throttle_"):
        return throttled(settings, fault.name, request_id, method)
    return _INSTEAD[fault.name](request_id, method)


def _cut(response: Response) -> Response:
    body = bytes(response.body)
    headers: dict[str, Any] = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Response(body[: len(body) // 2], response.status_code, headers)


def answer_spoilt(fault: Fault, response: Response, request_id: str, method: str) -> Response:
    """:param response: what would have been answered.
    :return: what the fault makes of it.
    """
    seconds = fault.duration
    spoilers: dict[str, Callable[[], Response]] = {
        "error_500_after": lambda: _INSTEAD["error_500"](request_id, method),
        "error_504_html_after": lambda: _INSTEAD["error_504_html"](request_id, method),
        "drop_after": HangUp,
        "late_answer": lambda: Late(response, seconds),
        "truncated_body": lambda: Truncated(response),
        "cut_json": lambda: _cut(response),
        "trickle_body": lambda: TricklingBody(response, seconds),
        "trickle_headers": lambda: TricklingHeaders(response, seconds),
        "huge_body": lambda: Huge(response),
    }
    return spoilers[fault.name]()
