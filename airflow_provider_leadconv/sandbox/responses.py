"""Responses of the API, and of the proxy in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from airflow_provider_leadconv.sandbox.transport import Response

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox.schemas import ApiError

_encode = msgspec.json.Encoder().encode


def json_response(status: int, document: object, request_id: str) -> Response:
    """Return a JSON response of the API.

    :param document: anything msgspec can encode.
    :param request_id: the header ``X-Request-Id``.
    """
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Content-Language": "en",
        "Vary": "Accept-Encoding",
        "X-Request-Id": request_id,
    }
    return Response(_encode(document), status, headers)


def error_response(error: ApiError, request_id: str) -> Response:
    """Return an error in the documented envelope."""
    return json_response(error.status, error.envelope(request_id), request_id)


def html_response(status: int, title: str) -> Response:
    """Return a page in the style of the proxy in front of the API."""
    page = (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )
    return Response(page.encode(), status, {"Content-Type": "text/html"})
