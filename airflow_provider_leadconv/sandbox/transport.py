"""How responses are sent: whole, or corrupted on the connection.

It depends on the ASGI interface only, so that faults can be declared without the web framework.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

TRICKLE_INTERVAL = 0.1
PADDING = 64 * 2**20
CHUNK = 2**20


class AsgiCall(NamedTuple):
    """The arguments of an ASGI application for one request."""

    scope: Scope
    receive: Receive
    send: Send

    @property
    def transport(self) -> asyncio.Transport:
        """The connection below HTTP."""
        transport: asyncio.Transport = self.scope["state"]["transport"]
        return transport

    async def write(self, body: bytes, *, more: bool = False) -> None:
        """Send the next part of the body.

        :param more: whether further parts follow.
        """
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def closed(self, seconds: float | None = None) -> bool:
        """Wait for the end of the connection, which also comes when the sandbox stops.

        :param seconds: how long to wait at most; None for no limit.
        :return: whether the connection has ended.
        """
        try:
            async with asyncio.timeout(seconds):
                while (await self.receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        return True


class Response:
    """A response, and the ASGI application that sends it.

    :param headers: all but ``Content-Length``.
    """

    def __init__(self, body: bytes = b"", status_code: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.body = body
        self.status_code = status_code
        self.headers = dict(headers or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response."""
        await self._send(AsgiCall(scope, receive, send))

    async def _send(self, call: AsgiCall) -> None:
        await self._start(call, len(self.body))
        await call.write(self.body)

    async def _start(self, call: AsgiCall, content_length: int) -> None:
        headers = self._raw_headers(content_length)
        await call.send({"type": "http.response.start", "status": self.status_code, "headers": headers})

    def _raw_headers(self, content_length: int) -> list[tuple[bytes, bytes]]:
        headers = {**self.headers, "Content-Length": str(content_length)}
        return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


class CorruptedResponse(Response):
    """A response that is sent in a faulty way.

    :param response: the original.
    :param seconds: duration of the fault.
    """

    def __init__(self, response: Response, seconds: float) -> None:
        super().__init__(response.body, response.status_code, response.headers)
        self.seconds = seconds


class HangUp(CorruptedResponse):
    """No response: the connection is closed after ``seconds``."""

    async def _send(self, call: AsgiCall) -> None:
        if self.seconds:
            await call.closed(self.seconds)
        call.transport.abort()
        # uvicorn sends a 500 of its own unless it has noticed the end of the connection.
        await call.closed()


class DelayedResponse(CorruptedResponse):
    """The whole response, ``seconds`` later."""

    async def _send(self, call: AsgiCall) -> None:
        if not await call.closed(self.seconds):
            await super()._send(call)


class TruncatedBody(CorruptedResponse):
    """Half the body that ``Content-Length`` promises, then the end of the connection."""

    async def _send(self, call: AsgiCall) -> None:
        await self._start(call, len(self.body))
        await call.write(self.body[: len(self.body) // 2], more=True)
        call.transport.close()
        await call.closed()


class TricklingBody(CorruptedResponse):
    """The body a byte at a time for ``seconds``, then the rest."""

    async def _send(self, call: AsgiCall) -> None:
        slow = min(len(self.body), round(self.seconds / TRICKLE_INTERVAL))
        await self._start(call, len(self.body))
        for position in range(slow):
            await call.write(self.body[position : position + 1], more=True)
            if await call.closed(TRICKLE_INTERVAL):
                return
        await call.write(self.body[slow:])


class TricklingHeaders(CorruptedResponse):
    """A header a byte at a time for ``seconds``, then the rest. Bypasses uvicorn, which sends all headers at once."""

    async def _send(self, call: AsgiCall) -> None:
        transport, status = call.transport, self.status_code
        transport.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nX-Padding: ".encode())
        for _ in range(round(self.seconds / TRICKLE_INTERVAL)):
            transport.write(b"x")
            if await call.closed(TRICKLE_INTERVAL):
                return
        headers = b"".join(b"\r\n%s: %s" % header for header in self._raw_headers(len(self.body)))
        transport.write(headers + b"\r\nconnection: close\r\n\r\n" + self.body)
        transport.close()
        await call.closed()


class PaddedBody(CorruptedResponse):
    """64 MiB of blanks, then the body: valid JSON that is too large for a client."""

    async def _send(self, call: AsgiCall) -> None:
        await self._start(call, PADDING + len(self.body))
        for _ in range(PADDING // CHUNK):
            await call.write(b" " * CHUNK, more=True)
            if call.transport.is_closing():
                return
        await call.write(self.body)
