"""The waits of a bulk conversion: they end at once when the run is killed, and tell now and then what is going on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from math import inf
from typing import Any, TypeVar

from airflow_provider_leadconv.jobs.heartbeat import Heartbeat
from airflow_provider_leadconv.jobs.workers import Workers

T = TypeVar("T")
Line = Callable[[], str]


class Watch:
    """The deciding thread waits here, and only here, while workers make the requests.

    :param log: where to tell what is going on.
    :param clock: seconds on a clock that never runs backwards.
    """

    def __init__(self, workers: Workers, log: logging.Logger, clock: Callable[[], float]) -> None:
        self.workers = workers
        self.killed = False
        """Whether :meth:`kill` was called."""
        self._clock = clock
        self._heartbeat = Heartbeat(log, clock)

    def kill(self) -> None:
        """End every wait, now and from now on. Safe in a signal handler: no lock is taken."""
        self.killed = True
        self.workers.wake()

    def next_ended(self, timeout: float, line: Line) -> Future[Any] | None:
        """Wait for a task to end.

        :param timeout: seconds; it may return earlier.
        :param line: what to tell if it is time.
        :return: the task's future, if one ended.
        """
        future = self.workers.next_ended(min(timeout, self._heartbeat.due_in))
        self._heartbeat.tell(line)
        return future

    def result_of(self, task: Callable[[], T], line: Line) -> T | None:
        """Have one task done while no other is under way.

        :return: its result; ``None`` if the run was killed meanwhile.
        """
        if self.killed:
            return None
        future = self.workers.submit(task)
        while not self.killed:
            if self.next_ended(inf, line) is future:
                result: T = future.result()
                return result
        return None

    def until(self, moment: float, line: Line) -> None:
        """Wait for a point in time, while no task is under way."""
        while (left := moment - self._clock()) > 0 and not self.killed:
            self.next_ended(left, line)
