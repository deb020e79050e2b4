"""Measures, keeps and shows. ``make bench``; ``make bench SECTIONS=export``; ``make bench-report`` only shows."""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.report import SECTIONS, render, section
from benchmarks.results import Measured, load, save

ROUNDS = (("export",), ("latency", "workers"), ("bulk",), ("first_conversion",), ("waiting",), ("parsing",))
"""The sections, one round after the other. Those of a round run side by side: they do little but wait."""

REPO = Path(__file__).parent.parent
RESULTS = Path(__file__).with_name("results.json")
_VERSIONS = (
    *("apache-airflow", "apache-airflow-providers-http", "requests", "msgspec", "pyarrow", "orjson", "dlt"),
    "singer-sdk",
)


def environment() -> dict[str, str]:
    """The machine and the versions, for whoever compares."""
    return {
        "measured on": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{psutil.cpu_count()} cores ({_cpu_model()}), {psutil.virtual_memory().total / 2**30:.0f} GB",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        **{package: version(package) for package in _VERSIONS},
    }


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"default: all of {', '.join(SECTIONS)}")
    parser.add_argument("--report", action="store_true", help="measure nothing, show what was kept")
    arguments = parser.parse_args()
    wanted = arguments.sections or SECTIONS
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}")
    os.chdir(REPO)  # where the processes of contestants find the benchmarks
    for together in () if arguments.report else ROUNDS:
        _measure([name for name in together if name in wanted])
    render(load(RESULTS), REPO)


def _measure(names: Sequence[str]) -> None:
    """Measure sections side by side, and keep the figures."""
    with ThreadPoolExecutor() as pool:
        for name, measured in zip(names, pool.map(_measure_one, names), strict=True):
            save(load(RESULTS).with_section(name, measured, environment()), RESULTS)


def _measure_one(name: str) -> list[Measured]:
    started = time.monotonic()
    print(f"{name} ...", flush=True)
    measured = list(section(name).measure())
    print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    return measured


if __name__ == "__main__":
    main()
