"""The sandbox as a FastAPI application."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from airflow_provider_leadconv import __version__
from airflow_provider_leadconv.sandbox.answers import error_answer
from airflow_provider_leadconv.sandbox.control import control_routes
from airflow_provider_leadconv.sandbox.errors import ApiError, incorrect_path
from airflow_provider_leadconv.sandbox.log import RequestLogMiddleware
from airflow_provider_leadconv.sandbox.openapi import openapi_document

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from airflow_provider_leadconv.sandbox.service import Service


class LeadConversionsEndpoint:
    """``/v2/lead_conversions``, for every method: those the API lacks are unknown paths to it.

    :param service: what answers.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as an ASGI application."""
        response = await self._respond(Request(scope, receive))
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        request_id = str(uuid4())
        body = await request.body()
        try:
            grant = self._service.authorise(request.method, request.url.path, request.headers)
        except ApiError as error:
            return error_answer(error, request_id)
        if self._service.settings.latency:
            await asyncio.sleep(self._service.settings.latency)
        content_type = request.headers.get("content-type", "")
        response, request.state.entry.fault = self._service.respond(
            grant, request.method, request.query_params, content_type, body, request_id
        )
        return response


async def _unknown_path(request: Request, _: Exception) -> Response:
    return error_answer(incorrect_path(request.url.path, request.method), str(uuid4()))


class SandboxApp(FastAPI):
    """The API below ``path_prefix``, ``/openapi.json`` and ``/docs``, and the controls below ``/_sandbox``.

    :param service: what answers.
    :param path_prefix: what comes before ``/v2``, such as ``/sell``.
    """

    def __init__(self, service: Service, path_prefix: str = "") -> None:
        super().__init__(redirect_slashes=False, redoc_url=None)
        self._document = openapi_document(__version__, path_prefix)
        self.router.routes.append(Route(f"{path_prefix}/v2/lead_conversions", LeadConversionsEndpoint(service)))
        self.router.routes.extend(control_routes(service))
        self.add_exception_handler(HTTPException, _unknown_path)
        self.add_middleware(RequestLogMiddleware, log=service.log)

    def openapi(self) -> dict[str, Any]:
        """:return: the OpenAPI document."""
        return self._document
