"""Controls of a running sandbox, below ``/_sandbox``. No token is needed: it listens on loopback only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_leadconv.sandbox.faults import Fault

if TYPE_CHECKING:
    from starlette.requests import Request

    from airflow_provider_leadconv.sandbox.service import Service

_encode = msgspec.json.Encoder().encode


def _json(document: object, status: int = 200) -> Response:
    return Response(_encode(document), status, media_type="application/json")


def control_routes(service: Service) -> list[Route]:
    """:param service: what is controlled.
    :return: ``faults`` and ``settings`` (GET, PUT), ``requests`` (GET, DELETE) and ``conversions`` (GET).
    """

    async def faults(request: Request) -> Response:
        if request.method == "PUT":
            try:
                service.injector.faults = msgspec.json.decode(await request.body(), type=tuple[Fault | str, ...])
            except ValueError as error:
                return _json({"error": str(error)}, 422)
        return _json(service.injector.faults)

    async def settings(request: Request) -> Response:
        if request.method == "PUT":
            try:
                service.change_settings(**msgspec.json.decode(await request.body(), type=dict[str, object]))
            except ValueError as error:
                return _json({"error": str(error)}, 422)
        return _json(service.settings)

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            service.log.clear()
        return _json(service.log.entries())

    async def conversions(_: Request) -> Response:
        return _json(service.store.conversion_counts)

    return [
        Route("/_sandbox/faults", faults, methods=["GET", "PUT"]),
        Route("/_sandbox/settings", settings, methods=["GET", "PUT"]),
        Route("/_sandbox/requests", requests, methods=["GET", "DELETE"]),
        Route("/_sandbox/conversions", conversions, methods=["GET"]),
    ]
