"""An event loop whose time is simulated, and the API's listing in memory. Hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import bisect
import itertools
import json
import selectors
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.messages import Answer, NoAnswer, Request
from airflow_provider_leadconv.triggers import shared_reader


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Passes the time that there is to wait instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and nothing will ever happen"
        self.now += max(0.0, timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in simulated time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main)


class Api:
    """The listing of conversions.

    :param latency: seconds an answer takes.
    """

    def __init__(self, latency: float = 0.1) -> None:
        self.rows: list[dict[str, Any]] = []
        self.requests: list[tuple[float, str]] = []
        self.fault: Callable[[], Answer | NoAnswer | None] = lambda: None
        self.opened = 0
        self.open_clients = 0
        self._latency = latency
        self._next_id = 1000

    def convert(self, *lead_ids: int, hidden_for: float = 0.0) -> None:
        """Convert leads, as somebody else would.

        :param hidden_for: seconds until the listing shows it, while later ones are shown at once.
        """
        for lead_id in lead_ids:
            self._next_id += 3
            row = {"id": self._next_id, "lead_id": lead_id, "created_at": "2026-11-23T00:00:00Z"}
            if hidden_for:
                asyncio.get_running_loop().call_later(hidden_for, self._show, row)
            else:
                self._show(row)

    def convert_others(self, number: int) -> None:
        """Convert leads nobody waits for."""
        self.convert(*range(10**9, 10**9 + number))

    def requests_between(self, start: float, end: float) -> list[str]:
        """:return: the queries sent then."""
        return [query for moment, query in self.requests if start <= moment < end]

    @property
    def newest(self) -> int:
        return self.rows[0]["id"] if self.rows else 0

    async def __call__(self, request: Request, token: str) -> Answer | NoAnswer:
        self.requests.append((asyncio.get_running_loop().time(), request.query))
        await asyncio.sleep(self._latency)
        return self.fault() or self._answer(request.query)

    async def aclose(self) -> None:
        self.open_clients -= 1

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every reader ask here."""

        async def open_client(conn_id: str) -> AsyncLeadConversionsClient:
            self.opened += 1
            self.open_clients += 1
            config = ClientConfig(token="t", timeout=30.0).hurried(0.0)
            return AsyncLeadConversionsClient(config, transport=self, clock=asyncio.get_running_loop().time)

        monkeypatch.setattr(shared_reader, "open_client", open_client)

    def _show(self, row: dict[str, Any]) -> None:
        bisect.insort(self.rows, row, key=lambda row: -row["id"])

    def _answer(self, query_string: str) -> Answer:
        query = {name: int(values[0]) for name, values in parse_qs(query_string).items()}
        rows = self.rows[bisect.bisect_right(self.rows, -query.get("cursor", 2**63), key=lambda row: -row["id"]) :]
        wanted = (row for row in rows if row["lead_id"] == query.get("lead_id", row["lead_id"]))
        page = list(itertools.islice(wanted, query["per_page"]))
        links = {"next_page": f"https://x/v2?cursor={page[-1]['id']}"} if next(wanted, None) else {}
        body = {"items": [{"data": row} for row in page], "meta": {"count": len(page), "links": links}}
        return Answer(status=200, headers={}, body=json.dumps(body).encode())
