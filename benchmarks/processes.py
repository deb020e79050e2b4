"""Contestants in processes of their own, watched from outside."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_SAMPLED_EVERY = 0.05
_POINTS_KEPT = 40


@dataclass
class Run:
    """What one run of a contestant cost.

    :param written: the file or folder it wrote, while the run's folder exists.
    :param figures: ``import_s``, ``import_cpu_s``, ``wall_s``, ``cpu_s``, ``peak_mb``, and ``grown_mb``: how far the
        peak is above what the process had when its imports were done.
    :param curve: ``at_s``, ``rss_mb``: its memory over time.
    """

    written: Path
    figures: dict[str, float]
    curve: dict[str, list[float]] = field(default_factory=dict)


@contextmanager
def contestant(
    module: str, name: str, base_url: str, *, environment: dict[str, str] | None = None, start_at: float = 0.0
) -> Iterator[Run]:
    """Run a contestant to its end. What it wrote is there during the block.

    :param module: such as ``benchmarks.exporters``.
    :param name: a function of it.
    :param environment: set in addition.
    :param start_at: time of ``time.monotonic()`` to wait for after the imports.
    :raises RuntimeError: with the end of its log, if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name_of_folder:
        folder = Path(name_of_folder)
        command = [sys.executable, "-m", "benchmarks.contestant", module, name, base_url, str(folder)]
        command += ["--start-at", str(start_at)]
        # Of its own, so that no one's settings, plugins or database have a part in it.
        own = {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "false", "NO_PROXY": "*"}
        with (folder / "stdout").open("wb") as out, (folder / "stderr").open("wb") as log:
            process = subprocess.Popen(
                command, stdout=out, stderr=log, env={**os.environ, **own, **(environment or {})}
            )
            curve = _memory(process)
        if process.returncode:
            said = (folder / "stderr").read_text()[-2000:]
            raise RuntimeError(f"{name} ended with {process.returncode}:\n{said}")
        cost = json.loads((folder / "cost.json").read_text())
        yield Run(Path(cost["written"]), cost["figures"], curve)


def _memory(process: subprocess.Popen[bytes]) -> dict[str, list[float]]:
    """Wait for the end of a process. :return: its memory until then."""
    watched, started = psutil.Process(process.pid), time.monotonic()
    points: list[tuple[float, float]] = []
    while process.poll() is None:
        with suppress(psutil.NoSuchProcess):
            points.append((time.monotonic() - started, watched.memory_info().rss / 1e6))
        time.sleep(_SAMPLED_EVERY)
    kept = points[:: math.ceil(len(points) / _POINTS_KEPT) or 1]
    return {"at_s": [round(at, 2) for at, _ in kept], "rss_mb": [round(rss, 1) for _, rss in kept]}
