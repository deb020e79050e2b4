"""The sandbox as a FastAPI application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from airflow_provider_leadconv import __version__
from airflow_provider_leadconv.sandbox.control import OwnHostMiddleware, RequestLogMiddleware, control_routes
from airflow_provider_leadconv.sandbox.docs_page import DOCS_HEADERS, docs_page
from airflow_provider_leadconv.sandbox.history import RequestLog
from airflow_provider_leadconv.sandbox.openapi import openapi_document
from airflow_provider_leadconv.sandbox.responses import error_response
from airflow_provider_leadconv.sandbox.schemas import ApiError, incorrect_path
from airflow_provider_leadconv.sandbox.service import ApiRequest

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from airflow_provider_leadconv.sandbox import transport
    from airflow_provider_leadconv.sandbox.service import Service


class LeadConversionsEndpoint:
    """``/v2/lead_conversions``, for every method: the API treats an unsupported method as an unknown path."""

    def __init__(self, service: Service, path_prefix: str) -> None:
        self._service = service
        self._path_prefix = path_prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, as an ASGI application."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> transport.Response:
        entry = request.state.entry
        entry.request_id = request_id = str(uuid4())
        body = await request.body()
        try:
            grant = self._service.authorise(request.method, request.url.path, request.headers)
        except ApiError as error:
            return error_response(error, request_id)
        if self._service.settings.latency:
            await asyncio.sleep(self._service.settings.latency)
        asked = ApiRequest(
            method=request.method,
            query=request.query_params,
            content_type=request.headers.get("content-type", ""),
            body=body,
            request_id=request_id,
            # Behind a proxy that sends X-Forwarded-Proto, the scheme is that of the proxy.
            base_url=f"{request.base_url}".rstrip("/") + self._path_prefix,
        )
        response, entry.fault = self._service.respond(grant, asked)
        return response


async def _unknown_path(request: Request, _: Exception) -> Response:
    response = error_response(incorrect_path(request.url.path, request.method), str(uuid4()))
    return Response(response.body, response.status_code, response.headers)


class SandboxApp(FastAPI):
    """The API below ``path_prefix``, ``/openapi.json`` and ``/docs``, and the controls below ``/_sandbox``.

    :param service: responds to the requests.
    :param path_prefix: prefix of the path ``/v2``, such as ``/sell``.
    """

    def __init__(self, service: Service, path_prefix: str = "") -> None:
        super().__init__(redirect_slashes=False, docs_url=None, redoc_url=None)
        self.request_log = RequestLog()
        self._document = openapi_document(__version__, path_prefix)
        self.router.routes.append(
            Route(f"{path_prefix}/v2/lead_conversions", LeadConversionsEndpoint(service, path_prefix))
        )
        self.router.routes.append(Route("/docs", self._docs))
        self.router.routes.extend(control_routes(service, self.request_log))
        self.add_exception_handler(HTTPException, _unknown_path)
        self.add_middleware(RequestLogMiddleware, log=self.request_log)
        self.add_middleware(OwnHostMiddleware)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return self._document

    async def _docs(self, _: Request) -> Response:
        return HTMLResponse(docs_page(self._document), headers=DOCS_HEADERS)
