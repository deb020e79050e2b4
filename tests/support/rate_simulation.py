"""Processes on hosts that share one token, against one rate limit, on a simulated clock.

A process has a limiter and a few workers. A worker acquires a permit, sends, waits for the response and starts again;
a rejected request is just one more to send. The limiters of a host share their state. Nothing here sleeps: five minutes
of a process take about 20 ms.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter, ProcessState, RateState
from airflow_provider_leadconv.sandbox.settings import RateLimit
from tests.support.clock import Clock


class RateLimiter(Protocol):
    """What the simulation needs of a limiter, so that others can be compared with ours."""

    def acquire(self, caller: object) -> float: ...

    def throttled(self, sent_at: float) -> None: ...


MakeLimiter = Callable[[Callable[[], float], int], RateLimiter]
RATE = 10.0


def strangers(clock: Callable[[], float], process: int) -> RateLimiter:
    """:return: the limiter of a process that shares no state."""
    return AdaptiveRateLimiter(RATE, clock=clock)


def on_hosts(processes: int, make_state: Callable[[], RateState] = lambda: ProcessState(RATE)) -> MakeLimiter:
    """:return: what makes limiters of which so many processes share their state."""
    states: dict[int, RateState] = defaultdict(make_state)

    def make_limiter(clock: Callable[[], float], process: int) -> RateLimiter:
        return AdaptiveRateLimiter(RATE, clock=clock, state=states[process // processes])

    return make_limiter


class Outage(NamedTuple):
    """A process is stopped, and goes on later or never.

    :param process: its number.
    :param since: when it is stopped.
    :param until: when it goes on; default: never, it is killed.
    """

    process: int
    since: float
    until: float = math.inf

    def covers(self, process: int | None, time: float) -> bool:
        """:return: whether the process does nothing at this time."""
        return process == self.process and self.since <= time < self.until


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
    acquires: int = 0

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
        responses = [arrival.accepted for arrival in self._between(since, until)]
        return 1 - sum(responses) / len(responses)

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
    make_limiter: MakeLimiter = strangers,
    outages: Sequence[Outage] = (),
    duration: float = 300.0,
    workers: int | Sequence[int] = 8,
    starts: Sequence[float] | None = None,
    network: tuple[float, float] = (0.005, 0.03),
    service: tuple[float, float] = (0.05, 0.5),
    wake_up: float = 0.001,
    seed: int = 0,
) -> Result:
    """Run the processes against the limit.

    :param limit: decides about each request when it arrives.
    :param processes: how many processes share the limit.
    :param make_limiter: builds the limiter of one process on the simulated clock.
    :param outages: in which a process does nothing, while the server goes on.
    :param duration: length of the simulation in seconds.
    :param workers: requests that a process, or each of them, may have in flight at once.
    :param starts: when each process starts, in seconds; default at random within the first 5 s.
    :param network: shortest and longest time a request is on its way to the limit, in seconds.
    :param service: shortest and longest time from there to the response, in seconds.
    :param wake_up: the most a worker oversleeps, in seconds.
    :param seed: of everything random here.
    """
    rng = random.Random(seed)
    clock = Clock()
    phase = rng.random()  # windows of the server do not start when the simulation does
    result = Result(processes, duration)
    limiters = [make_limiter(clock, process) for process in range(processes)]
    agenda = _Agenda(clock, outages)
    plan = agenda.plan

    def acquire(process: int, worker: int) -> None:
        result.acquires += 1
        if delay := limiters[process].acquire(worker):
            plan(clock.now + delay + rng.uniform(0.0, wake_up), process, partial(acquire, process, worker))
        else:
            plan(clock.now + rng.uniform(*network), None, partial(arrive, process, worker, clock.now))

    def arrive(process: int, worker: int, sent_at: float) -> None:
        accepted = limit.admit(phase + clock.now)
        result.arrivals.append(Arrival(clock.now, process, worker, accepted))
        plan(clock.now + rng.uniform(*service), process, partial(response, process, worker, sent_at, accepted))

    def response(process: int, worker: int, sent_at: float, accepted: bool) -> None:
        if not accepted:
            limiters[process].throttled(sent_at)
        acquire(process, worker)

    if starts is None:
        starts = [rng.uniform(0.0, 5.0) for _ in range(processes)]
    counts = [workers] * processes if isinstance(workers, int) else workers
    for process, count in enumerate(counts):
        for worker in range(count):
            plan(starts[process], process, partial(acquire, process, worker))
    agenda.run(duration)
    return result


class _Agenda:
    """What will happen when.

    :param clock: is set to the time of each event.
    :param outages: put off the events of their process.
    """

    def __init__(self, clock: Clock, outages: Sequence[Outage]) -> None:
        self._clock = clock
        self._outages = outages
        self._events: list[tuple[float, int, int | None, partial[None]]] = []
        self._ties = itertools.count()  # events of the same time happen in the order they were planned

    def plan(self, time: float, process: int | None, action: partial[None]) -> None:
        ends = [outage.until for outage in self._outages if outage.covers(process, time)]
        heapq.heappush(self._events, (max(ends, default=time), next(self._ties), process, action))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            self._clock.now, _, _, action = heapq.heappop(self._events)
            action()
