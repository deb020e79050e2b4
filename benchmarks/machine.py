"""Was the machine the limit, or the server? Measured along with the contestants, or their figures would mean little."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.account_server import AccountServer


@contextmanager
def watched(server: AccountServer) -> Iterator[dict[str, list[float]]]:
    """Watch the machine while the block runs.

    :return: figures, which are there when the block has ended.
    """
    figures: dict[str, list[float]] = {}
    before = server.health()
    psutil.cpu_percent()
    yield figures
    busy = psutil.cpu_percent() / 100
    after = server.health()
    figures["idle_share_of_cpu"] = [1 - busy]
    figures["server_cpu_s"] = [after.cpu_s - before.cpu_s]
    figures["server_late_ms"] = [1e3 * after.lag_s]
