"""Logging of requests, and the controls of a running sandbox below ``/_sandbox``.

The controls need no token: the sandbox listens on loopback only, and they serve no page of another site whose name
leads here (DNS rebinding).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from airflow_provider_leadconv.sandbox.faults import Fault
from airflow_provider_leadconv.sandbox.history import LoggedRequest, token_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_provider_leadconv.sandbox.history import RequestLog
    from airflow_provider_leadconv.sandbox.service import Service

_encode = msgspec.json.Encoder().encode

CONTROLS = "/_sandbox"
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

KEPT_HEADERS = ("user-agent", "accept", "content-type")


class RequestLogMiddleware:
    """Logs the requests to the API, but not those to the controls.

    :param app: the application; the request's state has the log entry as ``entry``.
    :param log: where they are logged.
    """

    def __init__(self, app: ASGIApp, log: RequestLog) -> None:
        self._app = app
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, as an ASGI application."""
        if scope["type"] != "http" or scope["path"].startswith(CONTROLS):
            await self._app(scope, receive, send)
            return
        entry = _entry(scope)
        scope.setdefault("state", {})["entry"] = entry
        self._log.add(entry)

        async def logged_receive() -> Message:
            message = await receive()
            entry.body += message.get("body", b"").decode(errors="replace")
            return message

        async def logged_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
            elif not message.get("more_body"):
                # Before the client can have it.
                entry.answered_at = time.monotonic()
            await send(message)

        await self._app(scope, logged_receive, logged_send)


class OwnHostMiddleware:
    """Refuses requests to the controls whose ``Host`` is not the sandbox itself.

    :param app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, as an ASGI application."""
        app = self._app
        if scope["type"] == "http" and scope["path"].startswith(CONTROLS) and not _names_own_host(scope):
            port = scope["server"][1]
            app = _json({"error": f"The Host header of a request to {CONTROLS} must be 127.0.0.1:{port}."}, 403)
        await app(scope, receive, send)


def _names_own_host(scope: Scope) -> bool:
    hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
    port = scope["server"][1]
    # Clients leave out the default port.
    own = {f"{name}:{port}" for name in LOOPBACK_NAMES} | (set(LOOPBACK_NAMES) if port == 80 else set())
    return len(hosts) == 1 and hosts[0] in own


def _entry(scope: Scope) -> LoggedRequest:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query_string = scope["query_string"].decode("latin-1")
    token = headers.get("authorization", "").partition(" ")[2]
    return LoggedRequest(
        time=time.monotonic(),
        method=scope["method"],
        path=scope["path"],
        query=dict(parse_qsl(query_string, keep_blank_values=True)),
        query_string=query_string,
        headers={name: headers[name] for name in KEPT_HEADERS if name in headers},
        client=tuple(scope["client"]) if scope["client"] else None,
        token_hash=token_hash(token) if token else None,
    )


def _json(document: object, status: int = 200) -> Response:
    return Response(_encode(document), status, media_type="application/json")


def _reading(name: str, read: Callable[[], object]) -> Route:
    async def endpoint(_: Request) -> Response:
        return _json(read())

    return Route(f"{CONTROLS}/{name}", endpoint, methods=["GET"])


def control_routes(service: Service, log: RequestLog) -> list[Route]:
    """Return the controls: ``faults``, ``settings``, ``requests``, ``leads``, ``conversions`` and ``history``."""

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
                service.change_settings(**msgspec.json.decode(await request.body(), type=dict[str, Any]))
            except ValueError as error:
                return _json({"error": str(error)}, 422)
        return _json(service.settings)

    async def requests(request: Request) -> Response:
        if request.method == "DELETE":
            log.clear()
        return _json(log.entries())

    return [
        Route(f"{CONTROLS}/faults", faults, methods=["GET", "PUT"]),
        Route(f"{CONTROLS}/settings", settings, methods=["GET", "PUT"]),
        Route(f"{CONTROLS}/requests", requests, methods=["GET", "DELETE"]),
        _reading("leads", lambda: service.store.leads),
        _reading("conversions", lambda: service.store.conversion_counts),
        _reading("history", lambda: service.history(log)),
    ]
