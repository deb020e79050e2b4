"""Leads converted in bulk: how much of a rate limit is used, how many are converted twice, what a lead costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import mean

from benchmarks.account_server import AccountServer
from benchmarks.accounts import AccountSettings, Traffic
from benchmarks.machine import watched
from benchmarks.posting import CONTESTANTS, Target
from benchmarks.processes import Contestant
from benchmarks.results import Measured

SECTION = "bulk"
RATE = 10
RAMP = 5.0
"""Seconds from the first POST on which one of the figures leaves out: ours starts slowly."""

LIMITS = ("token bucket", "fixed window")
LATENCIES = (0.05, 0.2, 1.0)
LOST = 0.2
NO_LIMIT = "no limit"
SENDERS = ("ours", "requests loop", "HttpOperator", "thread pool")
BEFORE = 400


def measure(*, seconds: float = 40.0, leads: int = 2500, rounds: int = 3) -> Iterator[Measured]:
    """Race for a rate limit, all cases side by side; then without one, one after the other.

    :param seconds: length of the race, at the rate of the limit.
    :param leads: how many to convert without a limit; the slowest contestants get a part of them.
    :param rounds: how often to do that.
    """
    with AccountServer() as server:
        yield from _race(server, seconds)
        yield from _without_limit(server, leads, rounds)


def _cases() -> Iterator[tuple[str, AccountSettings, Sequence[str]]]:
    for limit in LIMITS:
        for latency in LATENCIES:
            settings = AccountSettings(limit=limit, rate=RATE, latency=latency, conversions=BEFORE)
            # Eight requests of a second each are 8/s at the most.
            more = ("ours, concurrency=16",) if latency * RATE > 8 else ()
            yield case_name(limit, latency), settings, (*SENDERS, *more)
    settings = AccountSettings(limit=LIMITS[0], rate=RATE, latency=LATENCIES[0], lost=LOST, conversions=BEFORE)
    yield f"{case_name(LIMITS[0], LATENCIES[0])}, {LOST:.0%} lost", settings, SENDERS


def case_name(limit: str, latency: float) -> str:
    return f"{limit}, {1e3 * latency:g} ms"


def _race(server: AccountServer, seconds: float) -> Iterator[Measured]:
    leads = range(1, round(RATE * seconds) + 1)
    with ExitStack() as stack:
        runners = []
        for case, settings, names in _cases():
            for name in names:
                token = server.open(settings)
                target = Target(server.base_url, token, seconds=1.2 * seconds)
                runners.append((case, name, token, stack.enter_context(Contestant(CONTESTANTS[name], target))))
        for *_, contestant in runners:
            contestant.wait_until_ready()
        with watched(server) as machine:
            for *_, contestant in runners:
                contestant.start(leads)
            spent = [contestant.result()[1] for *_, contestant in runners]
    for (case, name, token, _), cpu_s in zip(runners, spent, strict=True):
        traffic = server.traffic(token)
        yield Measured(SECTION, case, name, _paced(traffic) | _cost(traffic, cpu_s))
    yield Measured(SECTION, "race", "machine", machine)


def _paced(traffic: Traffic) -> dict[str, list[float]]:
    """Figures of the time between the arrivals of the first POST and the last."""
    first, last = traffic.posts[0].at, traffic.posts[-1].at
    accepted = [post.at for post in traffic.posts if post.accepted]
    later = [at for at in accepted if at >= first + RAMP]
    return {
        "share_of_limit": [len(accepted) / (last - first) / RATE],
        "share_of_limit_after_5_s": [len(later) / (last - first - RAMP) / RATE if last > first + RAMP else 0.0],
        "rejected_share": [1 - len(accepted) / len(traffic.posts)],
    }


def _cost(traffic: Traffic, cpu_s: float) -> dict[str, list[float]]:
    times = traffic.conversions_of.values()
    return {
        "cpu_ms_per_lead": [1e3 * cpu_s / len(times)],
        "converted_leads": [len(times)],
        "converted_twice_leads": [sum(count > 1 for count in times)],
    }


def _without_limit(server: AccountServer, leads: int, rounds: int) -> Iterator[Measured]:
    figures: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        contestants = {}
        for name in (*SENDERS, "bare socket"):
            token = server.open(AccountSettings())
            target = Target(server.base_url, token, limited=False)
            contestants[name] = token, stack.enter_context(Contestant(CONTESTANTS[name], target))
            contestants[name][1].wait_until_ready()
            contestants[name][1].call(range(10**6, 10**6 + 20))  # whatever is done once is done now
        for number in range(rounds):
            for name, (token, contestant) in contestants.items():
                count = leads // 3 if name == "HttpOperator" else leads
                _, cpu_s = contestant.call(range(1 + number * leads, 1 + number * leads + count))
                arrived = [post.at for post in server.traffic(token).posts[-count:]]
                for figure, value in {
                    "leads_per_s": (count - 1) / (arrived[-1] - arrived[0]),
                    "leads_per_s_in_second_half": (count - count // 2 - 1) / (arrived[-1] - arrived[count // 2]),
                    "cpu_ms_per_lead": 1e3 * cpu_s / count,
                }.items():
                    figures.setdefault(name, {}).setdefault(figure, []).append(value)
    for name, of_name in figures.items():
        yield Measured(SECTION, NO_LIMIT, name, of_name)
