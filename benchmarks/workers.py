"""Many workers on one token, on one host or on several: do they use the limit, and share it fairly?"""

from __future__ import annotations

import itertools
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.account_server import AccountServer
from benchmarks.accounts import LIMITS, AccountSettings, Traffic
from benchmarks.machine import watched
from benchmarks.results import Measured
from benchmarks.showing import by_case, machine_line, markdown, save
from benchmarks.standby import Contestant

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.config import Secret
    from airflow_provider_leadconv.api.http import Request, Response, TransportFailure

SECTION = "workers"
OURS = "ours"
RATE = 10
LATENCY = 0.2
THREADS = 8
"""Of one process: as a bulk has them by default."""

NETWORK = 0.1
"""Longest time in seconds that a request is on its way."""

HOSTS = 4
PROCESSES = (1, 2, 4, 8, 16)
_STAGGER = 0.3
_DRAIN = 2.0
_TARGETS = {"token bucket": 9.3, "fixed window": 9.0, "sliding window": 8.0}
_COLOURS = {"token bucket": "#1b7f5c", "fixed window": "#5b7db1", "sliding window": "#d9822b"}
_ALL = "all at once"
_PERMIT = "a permit"


def measure(
    *, seconds: float = 300.0, warm_up: float = 30.0, processes: Sequence[int] = PROCESSES
) -> Iterator[Measured]:
    """Let all layouts run on all limits at once: they send 200 requests a second in all.

    :param seconds: how long, from the first request on, or from the end of the warm-up where processes share a host.
    :param warm_up: seconds until the rate limiter of a host counts as warm.
    :param processes: how many share a token, each on a host of its own.
    """
    alone = [(limit, number, 1) for limit, number in itertools.product(LIMITS, processes)]
    most = max(processes)
    together = [(limit, 1, most) for limit in LIMITS] + [("token bucket", HOSTS, -(-most // HOSTS))]
    with AccountServer() as server, ExitStack() as stack:
        cells = []
        for limit, hosts, on_each in alone + together:
            token = server.open(AccountSettings(limit=limit, rate=RATE, latency=LATENCY))
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))
            workers = [
                stack.enter_context(Contestant(worker, server.base_url, token, number, f"{folder}/{number % hosts}"))
                for number in range(hosts * on_each)
            ]
            cells.append((limit, hosts, on_each, token, workers))
        for *_, workers in cells:
            for contestant in workers:
                contestant.wait_until_ready()
        with watched(server) as machine:
            until = time.monotonic() + warm_up + seconds + _DRAIN
            for *_, workers in cells:
                for contestant in workers:
                    contestant.start(until)
            for *_, workers in cells:
                for contestant in workers:
                    contestant.result()
        for limit, hosts, on_each, token, _ in cells:
            since = warm_up if on_each > 1 else 0.0
            figures = _figures(server.traffic(token), hosts, on_each, since, seconds)
            yield Measured(SECTION, case_name(limit, hosts, on_each), OURS, figures)
    yield Measured(SECTION, _PERMIT, OURS, {"cpu_us": [_cost_of_a_permit()]})
    yield Measured(SECTION, _ALL, "machine", machine)


def case_name(limit: str, hosts: int, on_each: int = 1) -> str:
    return f"{limit}, {hosts}" if on_each == 1 else f"{limit}, {hosts} x {on_each}"


def worker(base_url: str, token: str, number: int, host: str) -> Callable[[float], None]:
    """One process: a client, and threads that convert one lead after the other with it, until it is time to end.

    :param host: folder of the state that the processes of a host share.
    """
    from airflow_provider_leadconv.api.client import LeadConversionsClient
    from airflow_provider_leadconv.api.config import ClientConfig
    from airflow_provider_leadconv.api.exceptions import RateLimitedError
    from airflow_provider_leadconv.api.models import ConversionRequest
    from airflow_provider_leadconv.api.rate_limiting.private_folder import FOLDER_VARIABLE
    from airflow_provider_leadconv.api.transports.requests_transport import RequestsTransport

    class SlowNetwork(RequestsTransport):
        """Requests are on their way for a while."""

        def __call__(self, request: Request, token: Secret) -> Response | TransportFailure:
            time.sleep(random.uniform(0.0, NETWORK))
            return super().__call__(request, token)

    os.environ[FOLDER_VARIABLE] = host
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
        name = f"worker {number}"
        with LeadConversionsClient(config, transport=SlowNetwork(config, name), user_agent=name) as client:
            threads = [threading.Thread(target=send, args=(client, until), daemon=True) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            time.sleep(max(0.0, until - time.monotonic()))

    return run


def _figures(traffic: Traffic, hosts: int, on_each: int, since: float, seconds: float) -> dict[str, list[float]]:
    start = traffic.posts[0].at + since
    posts = [post for post in traffic.posts if start <= post.at < start + seconds]
    accepted = Counter(post.client for post in posts if post.accepted)
    shares = [accepted[f"worker {number}"] for number in range(hosts * on_each)]
    by_host = [sum(shares[host::hosts]) for host in range(hosts)]
    return {
        "accepted_per_s": [sum(shares) / seconds],
        "rejected_share": [1 - sum(shares) / len(posts)],
        "jain_index": [_jain(shares)],
        "jain_index_of_hosts": [_jain(by_host)],
    }


def _jain(shares: Sequence[int]) -> float:
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def _cost_of_a_permit(permits: int = 5000) -> float:
    """:return: CPU microseconds, with the state in a file as it is by default."""
    from airflow_provider_leadconv.api.rate_limiting.host_state import HostState
    from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        limiter = AdaptiveRateLimiter(1e9, state=HostState(Path(folder), "state", 1e9))
        started = time.process_time()
        for _ in range(permits):
            limiter.acquire()
        return (time.process_time() - started) / permits * 1e6


def table(rows: Sequence[Measured]) -> str:
    """Markdown."""
    told = (
        f"Requests accepted of {RATE}/s, requests rejected, Jain's fairness index. All cells ran at the same time; "
        f"requests were on their way for up to {NETWORK * 1000:.0f} ms. *4 x 4* are four hosts with four processes "
        "each, which share a rate limiter; a single number is that of hosts with one process each. "
        "[Rate limiting](rate-limiting.md) has the same on a simulated clock."
    )
    parts = [told, _figures_table(rows), machine_line(by_case(rows)[_ALL, "machine"])]
    cost = by_case(rows).get((_PERMIT, OURS))
    if cost:
        parts.insert(2, f"A permit takes {cost['cpu_us'][0]:.0f} us of CPU time.")
    return "\n\n".join(parts)


def _figures_table(rows: Sequence[Measured]) -> str:
    """The figures without the text around them."""
    found = by_case(rows)
    layouts = list(dict.fromkeys(case.rpartition(", ")[2] for case, name in found if name == OURS and ", " in case))

    def cell(limit: str, layout: str) -> str:
        figures = found.get((f"{limit}, {layout}", OURS))
        if figures is None:
            return "-"
        shown = f"{figures['accepted_per_s'][0]:.2f}/s, {figures['rejected_share'][0]:.1%}"
        return f"{shown}, {figures['jain_index'][0]:.2f}"

    def lines() -> Iterator[list[str]]:
        for layout in layouts:
            yield [layout, *(cell(limit, layout) for limit in LIMITS)]

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
        axis.set_xlabel("hosts, one process each")
        axis.set_title(title, fontsize="medium")
    axes[0].set_ylim(0, RATE + 0.5)
    axes[1].set_ylim(0)
    axes[2].set_ylim(0, 1.05)
    axes[0].legend(fontsize="small", loc="lower right")
    save(figure, folder, "bench-workers")
    plt.close(figure)


def _counts(found: dict[tuple[str, str], dict[str, list[float]]]) -> list[int]:
    """Of hosts with one process each."""
    numbers = {case.rpartition(", ")[2] for case, name in found if name == OURS}
    return sorted(int(number) for number in numbers if number.isdigit())
