"""Runs one contestant in this process and writes down what it cost. ``python -m benchmarks.contestant --help``"""

from __future__ import annotations

import argparse
import json
import re
import resource
import time
from importlib import import_module
from pathlib import Path

import psutil

_MB = 1e6


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _peak() -> float:
    """Bytes at the most. Linux's ``ru_maxrss`` is inherited from whoever started us, so it is asked where it is not."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * float(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1])  # type: ignore[index]
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("contestant", help="a function of the module: imports, and returns what is to be measured")
    parser.add_argument("base_url")
    parser.add_argument("folder", type=Path, help="empty; cost.json is written here in the end")
    parser.add_argument("--start-at", type=float, default=0.0, help="seconds of the system's monotonic clock")
    arguments = parser.parse_args()
    started, cpu_started = time.perf_counter(), _cpu()
    work = getattr(import_module(arguments.module), arguments.contestant)()
    imported, cpu_imported = time.perf_counter(), _cpu()
    rss_before = psutil.Process().memory_info().rss
    time.sleep(max(0.0, arguments.start_at - time.monotonic()))
    started_work = time.perf_counter()
    written = work(arguments.base_url, arguments.folder)
    ended, cpu_ended = time.perf_counter(), _cpu()
    peak = _peak()
    cost = {
        "import_s": imported - started,
        "import_cpu_s": cpu_imported - cpu_started,
        "wall_s": ended - started_work,
        "cpu_s": cpu_ended - cpu_imported,
        "peak_mb": peak / _MB,
        "grown_mb": max(0.0, peak - rss_before) / _MB,
    }
    (arguments.folder / "cost.json").write_text(json.dumps({"written": str(written), "figures": cost}))


if __name__ == "__main__":
    main()
