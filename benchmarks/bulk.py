"""Leads converted in bulk: how much of a rate limit is used, how many are converted twice, what a lead costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.account_server import AccountServer
from benchmarks.accounts import AccountSettings, Traffic
from benchmarks.machine import watched
from benchmarks.posting import CONTESTANTS, Target
from benchmarks.results import Measured
from benchmarks.showing import COLOURS, by_case, machine_line, markdown, save, spread
from benchmarks.standby import Contestant

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

Found = dict[tuple[str, str], dict[str, list[float]]]


def measure(
    *, seconds: float = 60.0, leads: int = 2500, rounds: int = 2, senders: Sequence[str] = SENDERS
) -> Iterator[Measured]:
    """Race for a rate limit, all cases side by side; then without one, one after the other.

    :param seconds: length of the race, at the rate of the limit.
    :param leads: how many to convert without a limit; the slowest contestants get a part of them.
    :param rounds: how often to do that.
    :param senders: who converts them.
    """
    with AccountServer() as server:
        yield from _race(server, seconds, senders)
        yield from _without_limit(server, leads, rounds, senders)


def _cases(senders: Sequence[str]) -> Iterator[tuple[str, AccountSettings, Sequence[str]]]:
    for limit in LIMITS:
        for latency in LATENCIES:
            settings = AccountSettings(limit=limit, rate=RATE, latency=latency, conversions=BEFORE)
            yield case_name(limit, latency), settings, senders
    settings = AccountSettings(limit=LIMITS[0], rate=RATE, latency=LATENCIES[0], lost=LOST, conversions=BEFORE)
    yield lost_case_name(), settings, senders


def case_name(limit: str, latency: float) -> str:
    return f"{limit}, {1e3 * latency:g} ms"


def lost_case_name() -> str:
    return f"{case_name(LIMITS[0], LATENCIES[0])}, {LOST:.0%} lost"


def _race(server: AccountServer, seconds: float, senders: Sequence[str]) -> Iterator[Measured]:
    leads = range(1, round(RATE * seconds) + 1)
    with ExitStack() as stack:
        runners = []
        for case, settings, names in _cases(senders):
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
        "share_of_limit": [_rate(len(accepted), last - first) / RATE],
        "share_of_limit_after_5_s": [_rate(len(later), last - first - RAMP) / RATE],
        "rejected_share": [1 - len(accepted) / len(traffic.posts)],
    }


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def _cost(traffic: Traffic, cpu_s: float) -> dict[str, list[float]]:
    times = traffic.conversions_of.values()
    return {
        "cpu_ms_per_lead": [1e3 * cpu_s / len(times)],
        "converted_leads": [len(times)],
        "converted_twice_leads": [sum(count > 1 for count in times)],
    }


def _without_limit(server: AccountServer, leads: int, rounds: int, senders: Sequence[str]) -> Iterator[Measured]:
    figures: dict[str, dict[str, list[float]]] = {}
    with ExitStack() as stack:
        contestants = {}
        for name in (*senders, "bare socket"):
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
                    "cpu_ms_per_lead": 1e3 * cpu_s / count,
                }.items():
                    figures.setdefault(name, {}).setdefault(figure, []).append(value)
    for name, of_name in figures.items():
        yield Measured(SECTION, NO_LIMIT, name, of_name)


def table(rows: Sequence[Measured]) -> str:
    """Markdown."""
    found = by_case(rows)
    return "\n\n".join([*_race_tables(found), _lost_table(found), _no_limit_table(found)])


def summary(rows: Sequence[Measured]) -> str:
    """The figures of one latency, for the summary."""
    found, case, lost = by_case(rows), case_name(LIMITS[0], LATENCIES[1]), lost_case_name()
    header = (
        f"bulk, {RATE} requests/s allowed, {case}",
        "of the limit",
        "rejected",
        "CPU ms a lead without limit",
        f"leads converted twice, {LOST:.0%} of the answers lost",
    )
    lines = (
        (
            name,
            f"{found[case, name]['share_of_limit'][0]:.1%}",
            f"{found[case, name]['rejected_share'][0]:.1%}",
            spread(found[NO_LIMIT, name]["cpu_ms_per_lead"]),
            f"{found[lost, name]['converted_twice_leads'][0]:.0f} of {found[lost, name]['converted_leads'][0]:.0f}",
        )
        for name in SENDERS
        if (case, name) in found
    )
    return markdown(header, lines)


def _race_tables(found: Found) -> Iterator[str]:
    cases = [case_name(limit, latency) for limit in LIMITS for latency in LATENCIES]
    header = [f"{RATE} requests/s allowed, latency", *SENDERS]

    def lines(cell: Callable[[dict[str, list[float]]], str]) -> Iterator[list[str]]:
        for case in cases:
            yield [case, *(cell(found[case, name]) if (case, name) in found else "" for name in header[1:])]

    yield (
        "Conversions accepted from the arrival of the first POST to that of the last, as a share of the limit; in "
        f"brackets without the first {RAMP:g} s, in which ours speeds up."
    )
    yield markdown(
        header,
        lines(lambda cell: f"{cell['share_of_limit'][0]:.1%} ({cell['share_of_limit_after_5_s'][0]:.1%})"),
    )
    yield "POSTs rejected for their rate, as a share of all."
    yield markdown(header, lines(lambda cell: f"{cell['rejected_share'][0]:.1%}"))
    if machine := found.get(("race", "machine")):
        yield "All of these ran side by side. " + machine_line(machine)


def _lost_table(found: Found) -> str:
    case = lost_case_name()
    lines = [
        [name, *(f"{found[case, name][figure][0]:.0f}" for figure in ("converted_leads", "converted_twice_leads"))]
        for name in SENDERS
        if (case, name) in found
    ]
    told = (
        f"{LOST:.0%} of the conversions are carried out and their answers are lost. The others repeat what failed as "
        "usual: urllib3's Retry allowed for POST, tenacity, and three retries of each of HttpOperator's tasks (after a "
        "second, not five minutes)."
    )
    return f"{told}\n\n" + markdown([f"{case} answers", "leads converted", "of these twice or more"], lines)


def _no_limit_table(found: Found) -> str:
    pool = found[NO_LIMIT, "thread pool"]
    lines = []
    for (case, name), figures in found.items():
        if case == NO_LIMIT:
            rates = figures["leads_per_s"]
            ratios = [mine / theirs for mine, theirs in zip(rates, pool["leads_per_s"], strict=True)]
            lines.append([name, spread(rates, 0), spread(ratios), spread(figures["cpu_ms_per_lead"])])
    header = ["no limit", "leads/s", "to the thread pool", "CPU ms a lead"]
    told = (
        "Without a limit, from the first POST to the last. HttpOperator is executed for one lead after the other in "
        "one process, without what the scheduler and a process for each mapped task cost; the bare socket is what the "
        "server can do."
    )
    return f"{told}\n\n{markdown(header, lines)}"


def plot(rows: Sequence[Measured], folder: Path) -> None:
    """Share of the limit, and rejections, as bars."""
    from matplotlib import pyplot as plt

    found = by_case(rows)
    cases = [case_name(limit, latency) for limit in LIMITS for latency in LATENCIES]
    figure, axes = plt.subplots(2, 1, figsize=(9, 6), sharex=True)
    for axis, name_of_figure in zip(axes, ("share_of_limit", "rejected_share"), strict=True):
        for number, name in enumerate(SENDERS):
            places = [place for place, case in enumerate(cases) if (case, name) in found]
            heights = [100 * found[cases[place], name][name_of_figure][0] for place in places]
            at = [place + (number - 1.5) * 0.2 for place in places]
            axis.bar(at, heights, width=0.18, label=name, color=COLOURS[name])
    axes[0].axhline(100, color="black", linewidth=0.8)
    axes[0].set_ylabel("conversions, % of the limit")
    axes[1].set_ylabel("POSTs rejected, %")
    axes[1].set_xticks(range(len(cases)), [case.replace(", ", "\n") for case in cases])
    axes[0].legend(ncols=len(SENDERS), fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.0))
    save(figure, folder, "bench-bulk")
    plt.close(figure)
