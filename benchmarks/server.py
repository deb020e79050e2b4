"""A local server that is faster than whoever reads it, in a process of its own.

It keeps connections alive, and answers from bytes that are ready but for the ids, so that a million rows need neither
memory nor time. There is no TLS and no compression. What the API answers is up to an object of class `Api`; `Listing`
is one, and another module may have its own.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import parse_qsl

import msgspec

from airflow_provider_leadconv.sandbox.parsing import next_page_url, parse_query
from airflow_provider_leadconv.sandbox.schemas import ApiError, incorrect_path, rate_limit_exceeded
from airflow_provider_leadconv.sandbox.settings import RateLimit
from benchmarks.http_protocol import HttpConnection, Response

PATH = "/v2/lead_conversions"


class Api(Protocol):
    """What answers requests that were not refused for their rate. It is pickled into the server's process."""

    base_url: str
    """Where the server is: it sets this before the first request."""

    def answer(self, method: str, query: dict[str, str], body: bytes) -> Response | None:
        """:return: the answer; None: it is lost, the connection is closed instead.
        :raises ApiError: for what the API refuses.
        """
        ...

    def report(self) -> object:
        """:return: anything that can be pickled: what the benchmark wants to know in the end."""
        ...


@dataclass
class Counts:
    """What the server saw."""

    connections: int = 0
    requests: int = 0
    rejected: int = 0


class Listing:
    """So many conversions, newest first, in the vendor's format: 360 bytes a row, a third without a deal.

    :param rows: how many.
    """

    BLOCK = 200
    _NEWEST = datetime(2026, 11, 1, tzinfo=UTC)
    base_url = ""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        # Ids are seven digits that are the same in a block of rows, for which P stands, and three that tell its rows. A
        # block is an hour's, for which H stands.
        self._templates = [self._template(row) for row in range(self.BLOCK)]
        self._block = b",".join(self._templates)

    def answer(self, method: str, query: dict[str, str], body: bytes) -> Response:  # noqa: ARG002
        if method != "GET":
            raise incorrect_path(PATH, method)
        asked = parse_query(query)
        start = asked.offset if asked.below is None else self._row_of(asked.below) + 1
        end = min(start + asked.per_page, self.rows)
        link = {"next_page": next_page_url(self.base_url, self.id_of(end - 1), asked.per_page)}
        meta = {"type": "collection", "count": max(0, end - start), "links": link if end < self.rows else {}}
        return Response(200, b'{"items":[%b],"meta":%b}' % (self._items(start, end), json.dumps(meta).encode()))

    def report(self) -> object:
        return None

    def id_of(self, row: int) -> int:
        """:param row: 0 for the newest."""
        block, place = divmod(row, self.BLOCK)
        return int(self._prefix(block)) * 1000 + 999 - place

    def _row_of(self, conversion_id: int) -> int:
        prefix, place = divmod(conversion_id, 1000)
        return (9_999_999 - prefix) * self.BLOCK + 999 - place

    def _prefix(self, block: int) -> bytes:
        return b"%d" % (9_999_999 - block)

    def _items(self, start: int, end: int) -> bytes:
        parts = []
        while start < end:
            block, first = divmod(start, self.BLOCK)
            count = min(end - start, self.BLOCK - first)
            whole = count == self.BLOCK
            rows = self._block if whole else b",".join(self._templates[first : first + count])
            hour = self._NEWEST - timedelta(hours=block)
            parts.append(rows.replace(b"P", self._prefix(block)).replace(b"H", f"{hour:%Y-%m-%dT%H}".encode()))
            start += count
        return b",".join(parts)

    def _template(self, place: int) -> bytes:
        digits = 999 - place
        individual, organization = f"2P{digits}", f"3P{digits}" if place % 2 else None
        deal = f"4P{digits}" if place % 3 else None
        contacts = "https://api.example.com/v2/contacts/"
        links = {
            "individual": contacts + individual,
            "organization": contacts + organization if organization else None,
            "deal": f"https://api.example.com/v2/deals/{deal}" if deal else None,
        }
        ids = {"id": f"P{digits}", "lead_id": f"1P{digits}", "individual_id": individual}
        ids |= {"organization_id": organization or "null", "deal_id": deal or "null", "creator_id": str(1 + place % 7)}
        numbers = ",".join(f'"{name}":{value}' for name, value in ids.items())
        created_at = f"H:{59 - place * 60 // self.BLOCK:02}:{59 - place % 60:02}Z"
        meta = json.dumps({"type": "lead_conversion", "links": links}, separators=(",", ":"))
        return f'{{"data":{{{numbers},"created_at":"{created_at}"}},"meta":{meta}}}'.encode()


class _Connection(HttpConnection):
    def __init__(
        self, api: Api, counts: Counts, arrivals: list[float], latency: float, limit: RateLimit | None
    ) -> None:
        super().__init__(latency)
        self._api = api
        self._counts = counts
        self._arrivals = arrivals
        self._limit = limit

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._counts.connections += 1

    def respond(self, method: str, target: str, head: bytes, body: bytes) -> Response | None:  # noqa: ARG002
        self._counts.requests += 1
        self._arrivals.append(time.monotonic())
        path, _, query = target.partition("?")
        try:
            if self._limit is not None and not self._limit.admit(time.monotonic()):
                self._counts.rejected += 1
                raise rate_limit_exceeded()
            if path != PATH:
                raise incorrect_path(path, method)
            return self._api.answer(method, dict(parse_qsl(query)), body)
        except ApiError as error:
            return Response(error.status, msgspec.json.encode(error.envelope(str(self._counts.requests))))


class Server:
    """The server's process. A context manager.

    :param api: what it answers.
    :param latency: seconds from a request to its answer.
    :param limit: refuses requests that come too fast; default: none.
    """

    def __init__(self, api: Api, *, latency: float = 0.0, limit: RateLimit | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, self._far = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._far, api, latency, limit), daemon=True)

    @property
    def counts(self) -> Counts:
        return Counts(**self._ask("counts"))  # type: ignore[arg-type]

    @property
    def arrivals(self) -> list[float]:
        """When each request came, in seconds of a clock that never runs backwards."""
        return list(self._ask("arrivals"))  # type: ignore[call-overload]

    def report(self) -> object:
        """:return: what the API reports."""
        return self._ask("report")

    def __enter__(self) -> Self:
        self._process.start()
        self._far.close()  # so that a server that dies is noticed, and not waited for
        self.base_url: str = self._pipe.recv()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()

    def _ask(self, what: str) -> object:
        self._pipe.send(what)
        return self._pipe.recv()


def _serve(pipe: Connection, api: Api, latency: float, limit: RateLimit | None) -> None:
    asyncio.run(_main(pipe, api, latency, limit))


async def _main(pipe: Connection, api: Api, latency: float, limit: RateLimit | None) -> None:
    loop, counts = asyncio.get_running_loop(), Counts()
    arrivals: list[float] = []
    server = await loop.create_server(
        lambda: _Connection(api, counts, arrivals, latency, limit), "127.0.0.1", 0, backlog=1024
    )
    asked: dict[str, Callable[[], object]] = {
        "arrivals": lambda: arrivals,
        "counts": lambda: asdict(counts),
        "report": api.report,
    }
    loop.add_reader(pipe.fileno(), lambda: pipe.send(asked[pipe.recv()]()))
    api.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    pipe.send(api.base_url)
    await server.serve_forever()
