"""Processes that share one token, each with its own pacer, against one rate limit, on a simulated clock.

A process has a few workers. A worker asks its pacer for a slot, sends, waits for the answer and starts again;
a rejected request is just one more to send. Nothing here sleeps: five minutes of a process take about 20 ms.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from airflow_provider_leadconv.api.pacing import AdaptivePacer
from airflow_provider_leadconv.sandbox.ratelimits import RateLimit


class Pacer(Protocol):
    """What the simulation needs of a pacer, so that others can be compared with ours."""

    def ask(self) -> float: ...

    def throttled(self, sent_at: float) -> None: ...


MakePacer = Callable[[Callable[[], float]], Pacer]


@dataclass
class Clock:
    """The simulated time, in seconds."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Arrival:
    """One request as the server saw it."""

    at: float
    process: int
    worker: int
    accepted: bool


@dataclass
class Result:
    """What came of a simulation; the figures are of the arrivals in ``[since, until)`` seconds."""

    processes: int
    duration: float
    arrivals: list[Arrival] = field(default_factory=list)
    asks: int = 0

    def accepted(self, since: float = 0.0, until: float | None = None) -> list[int]:
        """:return: the number of requests served, for each process."""
        served = [0] * self.processes
        for arrival in self._between(since, until):
            served[arrival.process] += arrival.accepted
        return served

    def goodput(self, since: float = 0.0, until: float | None = None) -> float:
        """:return: requests served a second, of all processes together."""
        return sum(self.accepted(since, until)) / ((self.duration if until is None else until) - since)

    def rejected(self, since: float = 0.0, until: float | None = None) -> float:
        """:return: the share of the requests that were rejected, 0 to 1."""
        answers = [arrival.accepted for arrival in self._between(since, until)]
        return 1 - sum(answers) / len(answers)

    def jain(self, since: float = 0.0, until: float | None = None) -> float:
        """:return: Jain's fairness index: 1 when all processes got the same, 1/n when one got everything."""
        served = self.accepted(since, until)
        return sum(served) ** 2 / (len(served) * sum(count * count for count in served))

    def _between(self, since: float, until: float | None) -> Iterable[Arrival]:
        end = self.duration if until is None else until
        return (arrival for arrival in self.arrivals if since <= arrival.at < end)


def simulate(
    limit: RateLimit,
    processes: int,
    *,
    make_pacer: MakePacer = lambda clock: AdaptivePacer(10.0, clock=clock),
    duration: float = 300.0,
    workers: int = 8,
    starts: Sequence[float] | None = None,
    network: tuple[float, float] = (0.005, 0.03),
    service: tuple[float, float] = (0.05, 0.5),
    wake_up: float = 0.001,
    seed: int = 0,
) -> Result:
    """Run the processes against the limit.

    :param limit: decides about each request when it arrives.
    :param processes: how many processes share the limit.
    :param make_pacer: builds the pacer of one process on the simulated clock.
    :param duration: length of the simulation in seconds.
    :param workers: requests a process may have in flight at once.
    :param starts: when each process starts, in seconds; default at random within the first 5 s.
    :param network: shortest and longest time a request is on its way to the limit, in seconds.
    :param service: shortest and longest time from there to the answer, in seconds.
    :param wake_up: the most a worker oversleeps, in seconds.
    :param seed: of everything random here.
    """
    rng = random.Random(seed)
    clock = Clock()
    phase = rng.random()  # windows of the server do not start when the simulation does
    result = Result(processes, duration)
    pacers = [make_pacer(clock) for _ in range(processes)]
    events: list[tuple[float, int, partial[None]]] = []

    ties = itertools.count()  # events of the same time happen in the order they were planned

    def plan(time: float, action: Callable[..., None], *args: float) -> None:
        heapq.heappush(events, (time, next(ties), partial(action, *args)))

    def ask(process: int, worker: int) -> None:
        result.asks += 1
        if delay := pacers[process].ask():
            plan(clock.now + delay + rng.uniform(0.0, wake_up), ask, process, worker)
        else:
            plan(clock.now + rng.uniform(*network), arrive, process, worker, clock.now)

    def arrive(process: int, worker: int, sent_at: float) -> None:
        accepted = limit.admit(phase + clock.now)
        result.arrivals.append(Arrival(clock.now, process, worker, accepted))
        plan(clock.now + rng.uniform(*service), answer, process, worker, sent_at, accepted)

    def answer(process: int, worker: int, sent_at: float, accepted: bool) -> None:
        if not accepted:
            pacers[process].throttled(sent_at)
        ask(process, worker)

    for process in range(processes):
        start = rng.uniform(0.0, 5.0) if starts is None else starts[process]
        for worker in range(workers):
            plan(start, ask, process, worker)
    while events and events[0][0] < duration:
        clock.now, _, action = heapq.heappop(events)
        action()
    return result
