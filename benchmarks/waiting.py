"""Leads waited for in one triggerer: how many requests, how much CPU and memory that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.account_server import AccountServer
from benchmarks.accounts import AccountSettings
from benchmarks.machine import watched
from benchmarks.results import Measured
from benchmarks.showing import by_case, machine_line, markdown, save
from benchmarks.standby import Contestant
from benchmarks.triggerer import TRIGGERS, Figures, Waits, sensor_process, triggerer

SECTION = "waiting"
INTERVAL = 5.0
LEADS = (10, 100, 1000, 5000)
MOST_SENSORS = 1000
"""For more the deferrable HttpSensor is not measured: 5,000 are to make a thousand requests a second. Tried on two busy
cores it took minutes until all triggers ran, and by then some had ended with errors.
"""

HTTP_SENSOR = "HttpSensor, deferrable"
POKE_MODE = "HttpSensor, poke mode"
CONTESTANTS = ("ours", HTTP_SENSOR, POKE_MODE)
_BEFORE = 400
_SHOWN = {"requests_per_min": 0, "cpu_s_per_min": 2, "memory_mb": 0, "ended_early_leads": 0}
_COLOURS = {"ours": "#1b7f5c", HTTP_SENSOR: "#d9822b"}

Found = dict[tuple[str, str], dict[str, list[float]]]


def measure(
    *,
    seconds: float = 30.0,
    interval: float = INTERVAL,
    leads: Sequence[int] = LEADS,
    contestants: Sequence[str] = CONTESTANTS,
) -> Iterator[Measured]:
    """Wait for leads that nobody converts, each contestant and number in a process of its own, all at once.

    :param seconds: how long to measure, once all wait.
    :param interval: seconds between two requests for the same lead.
    :param leads: how many to wait for.
    :param contestants: who waits.
    """
    with AccountServer() as server, ExitStack() as stack:
        runners = []
        for name in contestants:
            for count in (1,) if name == POKE_MODE else leads:
                if name == HTTP_SENSOR and count > MOST_SENSORS:
                    continue
                token = server.open(AccountSettings(conversions=_BEFORE))
                waits = Waits(server.base_url, token, watermark=_BEFORE, interval=interval)
                make = partial(sensor_process, waits) if name == POKE_MODE else partial(triggerer, name, waits, count)
                runners.append((count, name, token, stack.enter_context(Contestant(make, fresh=True))))
        for *_, process in runners:
            process.wait_until_ready()
        with watched(server) as machine:
            for *_, process in runners:
                process.start(seconds)
            found = [process.result()[0] for *_, process in runners]
        for (count, name, token, _), figures in zip(runners, found, strict=True):
            yield Measured(SECTION, str(count), name, _figures(figures, server.traffic(token).reads))
    yield Measured(SECTION, "all at once", "machine", machine)


def _figures(found: Figures, reads: Sequence[float]) -> dict[str, list[float]]:
    minutes = (found["ended"] - found["began"]) / 60
    return {
        "requests_per_min": [sum(found["began"] <= at < found["ended"] for at in reads) / minutes],
        "cpu_s_per_min": [found["cpu_s"] / minutes],
        "memory_mb": [found["memory_mb"]],
        "ended_early_leads": [found["ended_early"]],
    }


def table(rows: Sequence[Measured]) -> str:
    """Markdown."""
    found = by_case(rows)
    about = (
        f"Each lead is asked for every {INTERVAL:g} s; the API allows 600 requests a minute. HttpSensor's trigger "
        "waits for an answer other than 404 and cannot look into a list, which is what this API answers, so it asks "
        f"for a path that is not there. It is not measured with more than {MOST_SENSORS:,} leads, as it floods the "
        "event loop then."
    )
    told = [about, _figures_table(rows), _poke_mode_line(found), _memory_line(found)]
    told += [machine_line(figures) for (_, name), figures in found.items() if name == "machine"]
    return "\n\n".join(filter(None, told))


def _figures_table(rows: Sequence[Measured]) -> str:
    """The figures without the text around them."""
    header = ["waiting leads", "", "requests/min", "CPU s/min", "MB", "ended by an error"]
    lines = [
        [f"{int(leads):,}", name, *(f"{figures[figure][0]:,.{digits}f}" for figure, digits in _SHOWN.items())]
        for (leads, name), figures in sorted(by_case(rows).items(), key=lambda item: item[0][0].rjust(9))
        if name != "machine"
    ]
    return markdown(header, lines)


def plot(rows: Sequence[Measured], folder: Path) -> None:
    """The table's figures over the number of leads."""
    from matplotlib import pyplot as plt

    found = by_case(rows)
    titles = {"requests_per_min": "requests a minute", "cpu_s_per_min": "CPU seconds a minute", "memory_mb": "MB"}
    figure, axes = plt.subplots(1, len(titles), figsize=(10, 3))
    for axis, (figure_name, title) in zip(axes, titles.items(), strict=True):
        for name in filter(partial(_counts, found), TRIGGERS):
            counts = _counts(found, name)
            values = [found[str(leads), name][figure_name][0] for leads in counts]
            axis.plot(counts, values, marker="o", label=name, color=_COLOURS[name])
        axis.set_xscale("log")
        axis.set_xlabel("waiting leads")
        axis.set_title(title, fontsize="medium")
    axes[0].set_yscale("log")
    axes[1].set_yscale("log")
    axes[2].set_ylim(0)
    axes[0].legend(fontsize="small")
    save(figure, folder, "bench-waiting")
    plt.close(figure)


def _poke_mode_line(found: Found) -> str:
    figures = found.get(("1", POKE_MODE))
    if figures is None:
        return ""
    requests, cpu_s, memory_mb, _ = (figures[figure][0] for figure in _SHOWN)
    return (
        f"An HttpSensor in poke mode is a process for each lead: a thousand of them, computed from the one measured, "
        f"make {1000 * requests:,.0f} requests and take {1000 * cpu_s:,.0f} s of CPU a minute and "
        f"{memory_mb:,.0f} GB, without the processes that supervise them."
    )


def _memory_line(found: Found) -> str:
    told = []
    for name in filter(partial(_counts, found), TRIGGERS):
        fewest, *_, most = _counts(found, name)
        grown = found[str(most), name]["memory_mb"][0] - found[str(fewest), name]["memory_mb"][0]
        told.append(f"{1e3 * grown / (most - fewest):.0f} kB ({name})")
    return f"A lead more takes {' and '.join(told)}."


def _counts(found: Found, name: str) -> list[int]:
    return sorted(int(case) for case, contestant in found if contestant == name)
