"""A line in the log now and then while a long job runs."""

from __future__ import annotations

import logging
from collections.abc import Callable

INTERVAL = 14.0
"""Seconds between two lines. Some jobs ask once a second, and no two lines shall be more than 15 s apart."""


class Heartbeat:
    """Decides when it is time for another line.

    :param log: where to.
    :param clock: seconds on a clock that never runs backwards.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._started = self._last = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    @property
    def due_in(self) -> float:
        """Seconds until the next line."""
        return max(0.0, self._last + INTERVAL - self._clock())

    def tell(self, line: Callable[[], str]) -> None:
        """Log a line if the last one is old enough.

        :param line: makes the line; called only if it is time.
        """
        if self.due_in == 0.0:
            self._last = self._clock()
            self._log.info("%s", line())
