"""Notices that the process was suspended: by SIGSTOP, a paused virtual machine or a sleeping computer.

What a suspended process knows is stale when it goes on: another try may have converted its leads meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Self

TICK_INTERVAL = 1.0
"""Seconds between two ticks at most."""

MAX_GAP = 5.0
"""A gap between two ticks that is longer is a suspension. Another process of the same run sends nothing in less time,
since it waits ``timeout + settle_time`` first."""


def boot_time() -> float:
    """Return seconds on a clock that also counts while the machine sleeps, where there is one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class SuspensionDetector:
    """Compares the time of the last tick with now. Threads may share it.

    :param clocks: each gives seconds, and never runs backwards.
    """

    def __init__(self, *clocks: Callable[[], float]) -> None:
        self.suspensions = 0
        """How often a tick came too late, so that the process must have been suspended."""
        self._clocks = clocks
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._ticked = self._now()

    @classmethod
    def ticking(cls) -> Self:
        """Return a detector on the clocks of the system that ticks in a thread of its own.

        The thread that decides cannot tick alone: between two results its caller may be busy for as long as it likes.
        """
        detector = cls(time.monotonic, boot_time)
        threading.Thread(target=detector._tick_until_closed, name="leadconv-ticks", daemon=True).start()
        return detector

    def tick(self) -> None:
        """Note that the process runs."""
        with self._lock:
            self.suspensions += self.is_suspended()
            self._ticked = self._now()

    def close(self) -> None:
        """End the thread that ticks, if there is one."""
        self._closed.set()

    def is_suspended(self) -> bool:
        """Return whether the last tick is so long ago that the process must have been suspended."""
        return any(now - ticked > MAX_GAP for now, ticked in zip(self._now(), self._ticked, strict=True))

    def _tick_until_closed(self) -> None:
        while not self._closed.wait(TICK_INTERVAL):
            self.tick()

    def _now(self) -> tuple[float, ...]:
        return tuple(clock() for clock in self._clocks)
