"""One reader of a server that takes its time, or that allows 10 requests a second."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from airflow_provider_leadconv.sandbox.settings import FixedWindow, RateLimit, SlidingWindow, TokenBucket
from benchmarks.processes import contestant
from benchmarks.results import Measured
from benchmarks.server import Listing, Server
from benchmarks.showing import by_case, markdown

SECTION = "latency"
RATE = 10.0
START_UP = 5.0
"""Seconds after the first request that the steady state leaves out: until then the limiter rises to the limit."""

OURS, BARE = "ours, JSONL", "one request after the other"
_FUNCTIONS = {OURS: "ours_jsonl", BARE: "socket_only"}
_UNPACED = "1000000"


class _Case(NamedTuple):
    name: str
    latency: float = 0.0
    limit: RateLimit | None = None


def _cases() -> list[_Case]:
    limits = {
        "token bucket": TokenBucket(RATE),
        "fixed window": FixedWindow(RATE),
        "sliding window": SlidingWindow(RATE),
    }
    latencies = [_Case(f"{1e3 * seconds:g} ms", seconds) for seconds in (0.05, 0.2)]
    return [*latencies, *(_Case(f"{RATE:g} requests/s, {name}", 0.0, limit) for name, limit in limits.items())]


def measure(*, seconds: float = 60.0, head_start: float = 20.0) -> Iterator[Measured]:
    """All cases side by side, as they mostly wait.

    :param seconds: how long one request after the other takes, or the limit at its rate.
    :param head_start: seconds for the imports, which would be in the way of those that have few.
    """
    start_at = time.monotonic() + head_start
    races = [(case, name) for case in _cases() for name in _FUNCTIONS if name == OURS or case.limit is None]
    with ThreadPoolExecutor(len(races)) as pool:
        for (case, name), figures in zip(
            races, pool.map(lambda race: _read(*race, seconds=seconds, start_at=start_at), races), strict=True
        ):
            yield Measured(SECTION, case.name, name, {figure: [value] for figure, value in figures.items()})


def _read(case: _Case, name: str, *, seconds: float, start_at: float) -> dict[str, float]:
    pages = round(seconds * (RATE if case.limit else 1 / case.latency))
    pace = {"BENCH_REQUESTS_PER_SECOND": str(RATE) if case.limit else _UNPACED}
    with Server(Listing(pages * Listing.BLOCK), latency=case.latency, limit=case.limit) as server:
        module, function = "benchmarks.exporters", _FUNCTIONS[name]
        with contestant(module, function, server.base_url, environment=pace, start_at=start_at):
            pass
        counts, arrivals = server.counts, server.arrivals
    steady = [at for at in arrivals if at >= arrivals[0] + min(START_UP, seconds / 2)]
    return {
        "requests_per_s": (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]),
        "steady_requests_per_s": (len(steady) - 1) / (steady[-1] - steady[0]),
        "requests": counts.requests,
        "rejected": counts.rejected,
    }


def table(rows: Sequence[Measured]) -> str:
    """Requests per second as a share of what is possible: the bare socket's, or the limit."""
    found = by_case(rows)
    lines = []
    for (case, name), figures in found.items():
        if name != OURS:
            continue
        shares = [
            figures[which][0] / (found[case, BARE][which][0] if (case, BARE) in found else RATE)
            for which in ("requests_per_s", "steady_requests_per_s")
        ]
        lines.append(
            (
                case,
                *(f"{share:.1%}" for share in shares),
                f"{figures['requests'][0]:.0f}",
                f"{figures['rejected'][0]:.0f}",
                f"{figures['requests_per_s'][0] * Listing.BLOCK:,.0f}",
            )
        )
    header = ("case", "share of what is possible", f"after {START_UP:g} s", "requests", "rejected", "rows/s")
    return markdown(header, lines)
