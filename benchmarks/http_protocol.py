"""HTTP/1.1 as far as the servers of the benchmarks need it: a head and maybe a body in, an answer out."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import NamedTuple

_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 422: b"Unprocessable Entity", 429: b"Too Many Requests"}
_HEADERS = b"Content-Type: application/json; charset=utf-8\r\nContent-Language: en\r\n"


class Response(NamedTuple):
    """Status and JSON body."""

    status: int
    body: bytes


class HttpConnection(asyncio.Protocol):
    """A client's connection. Requests are taken one after the other.

    :param latency: seconds from a request to its answer.
    """

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self._read = b""

    @abstractmethod
    def respond(self, method: str, target: str, head: bytes, body: bytes) -> Response | None:
        """:param head: request line and headers.
        :return: the answer; None: it is lost, the connection is closed instead.
        """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, ended, rest = self._read.partition(b"\r\n\r\n")
        if not ended:
            return
        length = int(header(head, b"content-length") or 0)
        if len(rest) < length:
            return
        self._read = rest[length:]
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        answer = self.respond(method, target, head, rest[:length])
        if self.latency:
            asyncio.get_running_loop().call_later(self.latency, self._send, answer)
        else:
            self._send(answer)

    def _send(self, answer: Response | None) -> None:
        if answer is None:
            self._transport.abort()
            return
        status, body = answer
        parts = (status, _REASONS[status], _HEADERS, len(body), body)
        self._transport.write(b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n\r\n%b" % parts)


def header(head: bytes, wanted: bytes) -> str:
    """:param wanted: the header's name in lower case.
    :return: its value; empty if it is not there.
    """
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return value.strip().decode("latin-1")
    return ""
