"""Answers that misbehave on the wire: dropped, late, cut or trickling ones."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

TRICKLE_INTERVAL = 0.1
HUGE_BODY = 64 * 2**20
CHUNK = 2**20


class SandboxProtocol(H11Protocol):
    """Hands each request the transport of its connection, as ``transport`` in its state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as H11Protocol
        """See :meth:`asyncio.BaseProtocol.connection_made`."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Exchange(NamedTuple):
    """One request and its answer, as ASGI hands them over."""

    scope: Scope
    receive: Receive
    send: Send

    @property
    def transport(self) -> asyncio.Transport:
        """The connection below HTTP."""
        transport: asyncio.Transport = self.scope["state"]["transport"]
        return transport

    async def write(self, body: bytes, *, more: bool) -> None:
        """:param body: next part of the answer's body.
        :param more: whether there will be more of it.
        """
        await self.send({"type": "http.response.body", "body": body, "more_body": more})

    async def closed(self, seconds: float | None = None) -> bool:
        """Wait for the end of the connection, which also comes at once when the sandbox stops.

        :param seconds: how long to wait at most; None for any time.
        :return: whether the connection has ended.
        """
        try:
            async with asyncio.timeout(seconds):
                while (await self.receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return False
        return True


class Distorted(Response):
    """An answer that is sent in a bad way.

    :param answer: what would have been sent; None where that does not matter.
    :param seconds: how long it takes, where that matters.
    """

    def __init__(self, answer: Response | None = None, seconds: float = 0.0) -> None:
        super().__init__()
        self._answer = answer or Response()
        self._content = bytes(self._answer.body)
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :class:`starlette.responses.Response`."""
        await self._distort(Exchange(scope, receive, send))

    async def _distort(self, exchange: Exchange) -> None:
        raise NotImplementedError

    async def _start(self, exchange: Exchange, content_length: int) -> None:
        headers = [(name, value) for name, value in self._answer.raw_headers if name != b"content-length"]
        headers.append((b"content-length", b"%d" % content_length))
        await exchange.send({"type": "http.response.start", "status": self._answer.status_code, "headers": headers})


class HangUp(Distorted):
    """No answer: the connection is closed, after ``seconds``."""

    async def _distort(self, exchange: Exchange) -> None:
        if self._seconds:
            await exchange.closed(self._seconds)
        exchange.transport.abort()
        # uvicorn answers 500 in our place unless it knows by now that the connection has ended.
        await exchange.closed()


class Late(Distorted):
    """The whole answer, ``seconds`` later."""

    async def _distort(self, exchange: Exchange) -> None:
        if not await exchange.closed(self._seconds):
            await self._answer(*exchange)


class Truncated(Distorted):
    """Half the body that ``Content-Length`` promises, then the end of the connection."""

    async def _distort(self, exchange: Exchange) -> None:
        await self._start(exchange, len(self._content))
        await exchange.write(self._content[: len(self._content) // 2], more=True)
        exchange.transport.close()
        await exchange.closed()


class TricklingBody(Distorted):
    """The body a byte at a time for ``seconds``, then the rest."""

    async def _distort(self, exchange: Exchange) -> None:
        slow = min(len(self._content), round(self._seconds / TRICKLE_INTERVAL))
        await self._start(exchange, len(self._content))
        for position in range(slow):
            await exchange.write(self._content[position : position + 1], more=True)
            if await exchange.closed(TRICKLE_INTERVAL):
                return
        await exchange.write(self._content[slow:], more=False)


class TricklingHeaders(Distorted):
    """A header a byte at a time for ``seconds``, then the rest. Past uvicorn, which sends heads whole."""

    async def _distort(self, exchange: Exchange) -> None:
        transport, status = exchange.transport, self._answer.status_code
        transport.write(f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nX-Padding: ".encode())
        for _ in range(round(self._seconds / TRICKLE_INTERVAL)):
            transport.write(b"x")
            if await exchange.closed(TRICKLE_INTERVAL):
                return
        headers = b"".join(b"\r\n%s: %s" % header for header in self._answer.raw_headers)
        transport.write(headers + b"\r\nconnection: close\r\n\r\n" + self._content)
        transport.close()
        await exchange.closed()


class Huge(Distorted):
    """64 MiB of blanks, then the body: valid JSON that no client should take in."""

    async def _distort(self, exchange: Exchange) -> None:
        await self._start(exchange, HUGE_BODY + len(self._content))
        for _ in range(HUGE_BODY // CHUNK):
            await exchange.write(b" " * CHUNK, more=True)
            if exchange.transport.is_closing():
                return
        await exchange.write(self._content, more=False)
