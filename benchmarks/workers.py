"""Many workers on one token, which know nothing of each other: do they use the limit, and share it fairly?"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.account_server import AccountServer
from benchmarks.accounts import LIMITS, AccountSettings, Traffic
from benchmarks.machine import watched
from benchmarks.results import Measured
from benchmarks.showing import by_case, machine_line, markdown, save
from benchmarks.standby import Contestant

SECTION = "workers"
OURS = "ours"
RATE = 10
LATENCY = 0.2
THREADS = 8
"""Of one process: as a bulk has them by default."""

PROCESSES = (1, 2, 4, 8, 16)
_STAGGER = 0.3
_DRAIN = 2.0
_TARGETS = {"token bucket": 9.3, "fixed window": 9.0, "sliding window": 8.0}
_COLOURS = {"token bucket": "#1b7f5c", "fixed window": "#5b7db1", "sliding window": "#d9822b"}
_ALL = "all at once"


def measure(*, seconds: float = 300.0, processes: Sequence[int] = PROCESSES) -> Iterator[Measured]:
    """Let all numbers of processes run on all limits at once: they send 150 requests a second in all.

    :param seconds: how long, from the first request on.
    :param processes: how many share a token.
    """
    with AccountServer() as server, ExitStack() as stack:
        cells = []
        for limit, number in itertools.product(LIMITS, processes):
            token = server.open(AccountSettings(limit=limit, rate=RATE, latency=LATENCY))
            workers = [stack.enter_context(Contestant(worker, server.base_url, token, n)) for n in range(number)]
            cells.append((limit, number, token, workers))
        for *_, workers in cells:
            for contestant in workers:
                contestant.wait_until_ready()
        with watched(server) as machine:
            until = time.monotonic() + seconds + _DRAIN
            for *_, workers in cells:
                for contestant in workers:
                    contestant.start(until)
            for *_, workers in cells:
                for contestant in workers:
                    contestant.result()
        for limit, number, token, _ in cells:
            yield Measured(SECTION, case_name(limit, number), OURS, _figures(server.traffic(token), number, seconds))
    yield Measured(SECTION, _ALL, "machine", machine)


def case_name(limit: str, processes: int) -> str:
    return f"{limit}, {processes}"


def worker(base_url: str, token: str, number: int) -> Callable[[float], None]:
    """One process: a client, and threads that convert one lead after the other with it, until it is time to end."""
    from airflow_provider_leadconv.api.client import LeadConversionsClient
    from airflow_provider_leadconv.api.config import ClientConfig
    from airflow_provider_leadconv.api.errors import RateLimitedError
    from airflow_provider_leadconv.api.records import ConversionRequest

    config = ClientConfig(token=token, base_url=base_url)
    leads = itertools.count(1 + number * 10**6)

    def send(client: LeadConversionsClient, until: float) -> None:
        while time.monotonic() < until:
            try:
                client.post(ConversionRequest(next(leads)))
            except RateLimitedError:  # for five minutes: the next lead, then
                continue

    def run(until: float) -> None:
        time.sleep((number + random.random()) * _STAGGER)  # as tasks start, one after the other
        with LeadConversionsClient(config, user_agent=f"worker {number}") as client:
            threads = [threading.Thread(target=send, args=(client, until), daemon=True) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            time.sleep(max(0.0, until - time.monotonic()))

    return run


def _figures(traffic: Traffic, processes: int, seconds: float) -> dict[str, list[float]]:
    start = traffic.posts[0].at
    posts = [post for post in traffic.posts if post.at < start + seconds]
    accepted = Counter(post.client for post in posts if post.accepted)
    shares = [accepted[f"worker {number}"] for number in range(processes)]
    return {
        "accepted_per_s": [sum(shares) / seconds],
        "rejected_share": [1 - sum(shares) / len(posts)],
        "jain_index": [sum(shares) ** 2 / (processes * sum(share**2 for share in shares))],
    }


def table(rows: Sequence[Measured]) -> str:
    """Markdown."""
    told = (
        f"Requests accepted of {RATE}/s, requests rejected, Jain's fairness index. All cells ran at the same time. "
        "`api/pacing.py` has the same on a simulated clock."
    )
    return "\n\n".join([told, summary(rows), machine_line(by_case(rows)[_ALL, "machine"])])


def summary(rows: Sequence[Measured]) -> str:
    """The table alone, for the README."""
    found = by_case(rows)
    counts = _counts(found)

    def lines() -> Iterator[list[str]]:
        for number in counts:
            cells = (found[case_name(limit, number), OURS] for limit in LIMITS)
            yield [
                str(number),
                *(
                    f"{cell['accepted_per_s'][0]:.2f}/s, {cell['rejected_share'][0]:.1%}, {cell['jain_index'][0]:.2f}"
                    for cell in cells
                ),
            ]

    header = ["processes on one token", *(f"{limit} (wanted: {_TARGETS[limit]:g}/s)" for limit in LIMITS)]
    return markdown(header, lines())


def plot(rows: Sequence[Measured], folder: Path) -> None:
    """The table's figures over the number of processes."""
    from matplotlib import pyplot as plt

    found = by_case(rows)
    counts = _counts(found)
    titles = {"accepted_per_s": "accepted a second", "rejected_share": "rejected", "jain_index": "Jain's index"}
    figure, axes = plt.subplots(1, len(titles), figsize=(10, 3))
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for limit in LIMITS:
            values = [found[case_name(limit, number), OURS][name][0] for number in counts]
            axis.plot(counts, values, marker="o", label=limit, color=_COLOURS[limit])
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts, map(str, counts))
        axis.set_xlabel("processes")
        axis.set_title(title, fontsize="medium")
    axes[0].set_ylim(0, RATE + 0.5)
    axes[1].set_ylim(0)
    axes[2].set_ylim(0, 1.05)
    axes[0].legend(fontsize="small", loc="lower right")
    save(figure, folder, "bench-workers")
    plt.close(figure)


def _counts(found: dict[tuple[str, str], dict[str, list[float]]]) -> list[int]:
    return sorted({int(case.rpartition(", ")[2]) for case, name in found if name == OURS})
