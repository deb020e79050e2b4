"""Triggers on an event loop whose time is simulated: hours pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest

from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.triggers import shared_reader
from tests.support.clock import Clock
from tests.support.endpoint import AsyncTransport, Endpoint
from tests.support.responses import BEFORE, TOKEN


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Lets the time pass that there is to wait instead of waiting."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "every task waits, and nothing will ever happen"
        self._clock.sleep(max(0.0, timeout))
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Clock) -> None:
        self._simulated = clock
        super().__init__(_Selector(clock))

    def time(self) -> float:
        return self._simulated()


@dataclass(frozen=True)
class Traffic:
    """Leads that others convert, at a steady rate.

    :param rate: leads a second.
    :param seconds: how long.
    :param late: the share of conversions that become visible late.
    :param lateness: seconds until these are visible, at most.
    :param id_step: distance from one id to the next; the ids of one account have gaps.
    """

    rate: int
    seconds: float
    late: float = 0.0
    lateness: float = 0.0
    id_step: int = 3

    @property
    def leads(self) -> range:
        """The leads, in the order of their conversions."""
        return range(1, int(self.rate * self.seconds) + 1)


class SimulatedApi(Endpoint):
    """The endpoint as triggers read it, and the event loop that they run on.

    :param latency: seconds a response takes.
    """

    def __init__(self, latency: float = 0.1) -> None:
        super().__init__(latency=latency)
        self.opened = 0
        """Clients opened so far."""
        self.open_clients = 0
        self.date = BEFORE
        """The date on every machine."""

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in simulated time."""
        with asyncio.Runner(loop_factory=partial(_Loop, self.clock)) as runner:
            return runner.run(main)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let every shared reader read from here."""

        async def open_async_client(conn_id: str) -> AsyncLeadConversionsClient:
            self.opened += 1
            self.open_clients += 1
            config = ClientConfig(token=TOKEN, timeout=30.0).with_retry_timeout(0.0)
            transport = AsyncTransport(self, self._close)
            return AsyncLeadConversionsClient(config, transport=transport, clock=self.clock, now=lambda: self.date)

        monkeypatch.setattr(shared_reader, "open_async_client", open_async_client)

    async def play(self, traffic: Traffic, random: Random) -> None:
        """Convert leads."""
        lead_ids, started, self.id_step = list(traffic.leads), self.clock(), traffic.id_step
        while lead_ids:
            await asyncio.sleep(0.1)
            due = int(traffic.rate * (self.clock() - started)) - (len(traffic.leads) - len(lead_ids))
            for lead_id in lead_ids[:due]:
                is_late = random.random() < traffic.late
                self.convert(lead_id, visible_after=random.uniform(0, traffic.lateness) if is_late else 0.0)
            del lead_ids[: max(0, due)]

    def queries_between(self, start: float, end: float) -> list[str]:
        """:return: the queries sent then."""
        return [sent.query for sent in self.requests if start <= sent.at < end]

    def _close(self) -> None:
        self.open_clients -= 1
