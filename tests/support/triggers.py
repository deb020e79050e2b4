"""Triggers as tests make and run them."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest

from airflow_provider_leadconv.api.http import Response
from airflow_provider_leadconv.triggers.asset_events import LeadConversionEventTrigger
from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger

INTERVAL = 5.0


def trigger(*lead_ids: int, **arguments: Any) -> LeadConversionTrigger:
    return LeadConversionTrigger(
        **{
            "lead_ids": list(lead_ids),
            "leadconv_conn_id": "leadconv_default",
            "start_watermark": 0,
            "poll_interval": INTERVAL,
            "deadline": time.time() + 86400,
            "max_consecutive_failures": 10,
            **arguments,
        }
    )


class Logged:
    """The lines that a trigger logs, and when."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.lines: list[str] = []
        self.times: list[float] = []

    def by(self, waiting: LeadConversionTrigger) -> LeadConversionTrigger:
        for level in ("info", "warning", "error"):
            self._monkeypatch.setattr(waiting.log, level, self._log)
        return waiting

    def _log(self, line: str, *values: object) -> None:
        self.lines.append(line % values)
        self.times.append(asyncio.get_running_loop().time())


async def payload_of(waiting: LeadConversionTrigger) -> Any:
    events = [event.payload async for event in waiting.run()]
    assert len(events) == 1
    return json.loads(json.dumps(events[0]))


async def moment(waiting: LeadConversionTrigger) -> float:
    assert (await payload_of(waiting))["status"] == "success"
    return asyncio.get_running_loop().time()


def start(*triggers: LeadConversionTrigger, finish: Any = payload_of) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(finish(one)) for one in triggers]


def status(code: int) -> Response:
    return Response(status_code=code, headers={}, body=b"")


def lead_ids_of(events: list[dict[str, Any]]) -> list[int]:
    return [conversion["lead_id"] for event in events for conversion in event["conversions"]]


def event_trigger(**arguments: Any) -> LeadConversionEventTrigger:
    return LeadConversionEventTrigger(**{"asset_name": "sell", **arguments})


async def collect(trigger: LeadConversionEventTrigger, seconds: float) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []

    async def listen() -> None:
        async for event in trigger.run():
            events.append(event.payload)  # noqa: PERF401  # what came is wanted when this is cancelled

    task = asyncio.ensure_future(listen())
    await asyncio.wait([task], timeout=seconds)
    assert not task.done(), "an event trigger never ends"
    task.cancel()
    await asyncio.wait([task])
    return events
