"""Progress of a long-running task: lines in its log, and numbers for a reporter."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

INTERVAL = 14.0
"""Seconds between two lines. Some callers check once a second, and lines should be at most 15 s apart."""


def duration(seconds: float) -> str:
    """Return a duration for a log line, such as ``45 s``, ``12 min`` or ``1 h 5 min``.

    :param seconds: the duration; below 0 counts as 0.
    """
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if hours else f"{minutes} min"
    return f"{hours // 24} d {hours % 24} h"


def share_done(done: float, total: float, per_second: float | None = None) -> str:
    """Return percent and time left, with which a progress line begins.

    :param done: what is done of the total; more counts as all.
    :param total: may be an estimate; nothing of 0 is all.
    :param per_second: how much is done in a second, if that is known.
    """
    done = min(done, total)
    left = f", {duration((total - done) / per_second)} left" if per_second else ""
    return f"{100 * done // total if total else 100:.0f} %{left}"


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    :param text: for people, such as a line of the log.
    :param done: leads or conversions that are done.
    :param total: how many there are; ``None`` if it is unknown.
    :param per_second: how many are done in a second.
    :param failed: leads that failed, or failed checks of a sensor in a row.
    """

    text: str
    done: int
    total: int | None = None
    per_second: float | None = None
    failed: int | None = None

    def __str__(self) -> str:
        return self.text


Source = Callable[[], Progress | str]
"""Makes the progress of this moment; a text if there is nothing to count."""


class Reporter(Protocol):
    """Receives progress besides the log."""

    def offer(self, source: Source) -> None:
        """Take the progress of this moment, or ignore it if the last one is recent."""
        ...


_reporter: ContextVar[Reporter | None] = ContextVar("leadconv_progress_reporter", default=None)


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Give the progress of everything that starts in this block and thread to a reporter, too."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)


class ProgressLog:
    """Logs progress lines at regular intervals.

    :param log: logger for the lines.
    :param clock: returns the seconds of a monotonic clock.
    """

    def __init__(self, log: logging.Logger, clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._reporter = _reporter.get()
        self._started = self._last = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._started

    @property
    def due_in(self) -> float:
        """Seconds until the next line."""
        return max(0.0, self._last + INTERVAL - self._clock())

    def emit(self, source: Source) -> None:
        """Log a line if one is due, and offer the progress to the reporter.

        :param source: makes the line or the progress; called only if it is wanted.
        """
        if self.due_in == 0.0:
            self._last = self._clock()
            self._log.info("%s", source())
        if self._reporter is not None:
            self._reporter.offer(source)
