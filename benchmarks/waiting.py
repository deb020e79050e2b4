"""Leads waited for in one triggerer: how many requests, how much CPU and memory that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.account_server import AccountServer
from benchmarks.accounts import AccountSettings
from benchmarks.machine import watched
from benchmarks.processes import Contestant
from benchmarks.results import Measured
from benchmarks.triggerer import TRIGGERS, Figures, Waits, sensor_process, triggerer

SECTION = "waiting"
INTERVAL = 5.0
BATCHES = ((10, 100, 1000), (5000,))
"""Numbers of leads measured at the same time: more would be too much for two cores."""

POKE_MODE = "HttpSensor, poke mode"
_BEFORE = 400


def measure(
    *, seconds: float = 30.0, interval: float = INTERVAL, batches: Sequence[Sequence[int]] = BATCHES
) -> Iterator[Measured]:
    """Wait for leads that nobody converts.

    :param seconds: how long to measure, once all wait.
    :param interval: seconds between two requests for the same lead.
    :param batches: numbers of leads; those of a batch are measured at the same time.
    """
    with AccountServer() as server:
        for number, batch in enumerate(batches):
            yield from _measure_batch(server, batch, seconds, interval, poke_mode=number == 0)


def _measure_batch(
    server: AccountServer, batch: Sequence[int], seconds: float, interval: float, *, poke_mode: bool
) -> Iterator[Measured]:
    with ExitStack() as stack:
        runners = []
        for leads in batch:
            for name in TRIGGERS:
                waits = _new_waits(server, interval)
                process = stack.enter_context(Contestant(triggerer, name, waits, leads, fresh=True))
                runners.append((leads, name, waits, process))
        if poke_mode:
            waits = _new_waits(server, interval)
            runners.append((1, POKE_MODE, waits, stack.enter_context(Contestant(sensor_process, waits, fresh=True))))
        for *_, process in runners:
            process.wait_until_ready()
        with watched(server) as machine:
            for *_, process in runners:
                process.start(seconds)
            found = [process.result()[0] for *_, process in runners]
    for (leads, name, waits, _), figures in zip(runners, found, strict=True):
        reads = server.traffic(waits.token).reads
        yield Measured(SECTION, str(leads), name, _figures(leads, figures, reads))
    yield Measured(SECTION, " and ".join(map(str, batch)), "machine", machine)


def _new_waits(server: AccountServer, interval: float) -> Waits:
    token = server.open(AccountSettings(conversions=_BEFORE))
    return Waits(server.base_url, token, mark=_BEFORE, interval=interval)


def _figures(leads: int, found: Figures, reads: Sequence[float]) -> dict[str, list[float]]:
    minutes = (found["ended"] - found["began"]) / 60
    figures = {
        "requests_per_min": [sum(found["began"] <= at < found["ended"] for at in reads) / minutes],
        "cpu_s_per_min": [found["cpu_s"] / minutes],
        "memory_mb": [found["memory_mb"]],
    }
    if "empty_mb" in found:
        figures["memory_kb_per_lead"] = [1e3 * (found["memory_mb"] - found["empty_mb"]) / leads]
        figures["waiting_leads"] = [found["waiting"]]
    return figures
