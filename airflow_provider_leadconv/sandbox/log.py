"""The log of requests. It never holds a token."""

from __future__ import annotations

import time
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEPT_HEADERS = ("user-agent", "accept", "content-type")
# A sandbox that runs for weeks must not grow without bounds.
KEPT_REQUESTS = 200_000


class LoggedRequest(msgspec.Struct):
    """One request.

    :param time: when it arrived, in seconds of the monotonic clock.
    :param method: HTTP method.
    :param path: path without the query.
    :param query: query by name.
    :param query_string: query as it was sent.
    :param headers: ``user-agent``, ``accept`` and ``content-type``, as far as sent.
    :param client: host and port of the connection it came on.
    :param body: its body, as text.
    :param status: status of the answer; None while there is none.
    :param fault: name of the fault that struck; several are joined by ``+``.
    """

    time: float
    method: str
    path: str
    query: dict[str, str]
    query_string: str
    headers: dict[str, str]
    client: tuple[str, int] | None
    body: str = ""
    status: int | None = None
    fault: str | None = None


class RequestLog:
    """The most recent requests, oldest first. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: deque[LoggedRequest] = deque(maxlen=KEPT_REQUESTS)

    def add(self, entry: LoggedRequest) -> None:
        """:param entry: filled in further while the request is worked on."""
        with self._lock:
            self._entries.append(entry)

    def entries(self) -> list[LoggedRequest]:
        """:return: the requests so far."""
        with self._lock:
            return list(self._entries)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._entries.clear()


class RequestLogMiddleware:
    """Logs each request to the API, and none to the controls.

    :param app: what answers; it finds the entry as ``entry`` in the request's state.
    :param log: where to.
    """

    def __init__(self, app: ASGIApp, log: RequestLog, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._log = log
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, as an ASGI application."""
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self._app(scope, receive, send)
            return
        entry = self._entry(scope)
        scope.setdefault("state", {})["entry"] = entry
        self._log.add(entry)

        async def logged_receive() -> Message:
            message = await receive()
            entry.body += message.get("body", b"").decode(errors="replace")
            return message

        async def logged_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
            await send(message)

        await self._app(scope, logged_receive, logged_send)

    def _entry(self, scope: Scope) -> LoggedRequest:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query_string = scope["query_string"].decode("latin-1")
        return LoggedRequest(
            time=self._clock(),
            method=scope["method"],
            path=scope["path"],
            query=dict(parse_qsl(query_string, keep_blank_values=True)),
            query_string=query_string,
            headers={name: headers[name] for name in KEPT_HEADERS if name in headers},
            client=tuple(scope["client"]) if scope["client"] else None,
        )
