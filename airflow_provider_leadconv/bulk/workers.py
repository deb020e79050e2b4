"""Threads that make the requests of a bulk conversion, and the waits of the one thread that decides."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from math import inf
from typing import Any, TypeVar

from airflow_provider_leadconv.api.models import ConversionResult
from airflow_provider_leadconv.bulk.suspension import TICK_INTERVAL, SuspensionDetector
from airflow_provider_leadconv.progress import ProgressLog, Source
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.lease import Lease

T = TypeVar("T")

Take = Callable[[Future[Any]], Iterator[ConversionResult]]
"""Takes a completed task."""


class Workers:
    """Runs tasks in threads and returns their futures as they complete.

    This is not an executor of the standard library, because the interpreter would wait at its exit for a request that
    is in flight.

    :param count: number of threads.
    """

    def __init__(self, count: int) -> None:
        self._process = os.getpid()
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._completed: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        """Return the future of a task, which :meth:`next_completed` will return once."""
        future: Future[Any] = Future()
        self._tasks.put((future, task))
        return future

    def next_completed(self, timeout: float) -> Future[Any] | None:
        """Wait for a task to complete.

        :param timeout: seconds.
        :return: its future, or ``None`` after the timeout or :meth:`wake`.
        :raises ConcurrentRunError: in a forked process, which has no threads.
        """
        if os.getpid() != self._process:
            raise ConcurrentRunError("this process was forked from one that converts leads; only that one goes on")
        try:
            return self._completed.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return None

    def wake(self) -> None:
        """End a :meth:`next_completed` that waits. Safe in a signal handler."""
        self._completed.put(None)

    def close(self) -> None:
        """Take no more tasks. Those that were submitted are still run; nothing waits for them."""
        for _ in self._threads:
            self._tasks.put(None)

    def _work(self) -> None:
        while (item := self._tasks.get()) is not None:
            future, task = item
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001  # raised again where the future's result is asked for
                future.set_exception(error)
            self._completed.put(future)


class Dispatcher:
    """Hands tasks to workers. The deciding thread waits here, and only here.

    Every wait ends at once when the run is killed, notices when the process was suspended, and logs progress from time
    to time.

    :param log: receives the progress lines.
    :param clock: seconds on a monotonic clock.
    :param suspension: notices when the process was suspended.
    :param lease: notices when another process has taken over; ``None`` if it cannot be known.
    """

    def __init__(
        self,
        workers: Workers,
        log: logging.Logger,
        clock: Callable[[], float],
        suspension: SuspensionDetector,
        lease: Lease | None = None,
    ) -> None:
        self.killed = False
        """Whether :meth:`kill` was called."""
        self._workers = workers
        self._suspension = suspension
        self._lease = lease
        self._clock = clock
        self._progress = ProgressLog(log, clock)
        self._takes: dict[Future[Any], Take] = {}

    def submit(self, task: Callable[[], Any], take: Take) -> Future[Any]:
        """Return the future of a task.

        :param take: is passed that future by :meth:`next_results`.
        """
        future = self._workers.submit(task)
        self._takes[future] = take
        return future

    def kill(self) -> None:
        """End every wait, now and from now on. Safe in a signal handler: no lock is taken."""
        self.killed = True
        self._workers.wake()

    def next_completed(self, timeout: float, line: Source) -> Future[Any] | None:
        """Wait for a task to complete.

        :param timeout: seconds; it may return earlier.
        :param line: makes the progress line, if one is due.
        :return: the task's future, if one completed.
        """
        future = self._workers.next_completed(min(timeout, self._progress.due_in, TICK_INTERVAL))
        self._suspension.tick()
        self._progress.emit(line)
        return future

    def next_results(self, timeout: float, line: Source) -> Iterator[ConversionResult] | None:
        """Wait for a task that :meth:`submit` got to complete.

        :param timeout: seconds; it may return earlier.
        :param line: makes the progress line, if one is due.
        :return: what takes the task and yields what follows from it; ``None`` if no task completed.
        """
        future = self.next_completed(timeout, line)
        take = self._takes.pop(future, None) if future else None
        return take(future) if future and take else None

    def result_of(self, task: Callable[[], T], line: Source) -> T | None:
        """Run one task while no other is under way.

        :return: its result; ``None`` if the run was killed meanwhile.
        """
        if self.killed:
            return None
        future = self._workers.submit(task)
        while not self.killed:
            if self.next_completed(inf, line) is future:
                result: T = future.result()
                return result
        return None

    def wait_until(self, moment: float, line: Source) -> None:
        """Wait for a point in time while no task is under way."""
        while (left := moment - self._clock()) > 0 and not self.killed:
            self.next_completed(left, line)

    @property
    def suspensions(self) -> int:
        """How often the process was suspended. What was decided before may rest on stale knowledge."""
        return self._suspension.suspensions

    def may_send(self, suspensions: int) -> bool:
        """Return whether a conversion may still be sent: the run goes on, and the decision is not stale.

        Workers ask right before they send, when all their waits are over.

        :param suspensions: how many there were when it was decided to send.
        :raises ConcurrentRunError: if another process has taken over.
        """
        if self._lease:
            self._lease.confirm()  # before the rest, as it may take a while
        return not self.killed and self.suspensions == suspensions and not self._suspension.is_suspended()

    def close(self) -> None:
        """Let the workers go without waiting for what they are doing. They send no further conversion."""
        self.killed = True
        self._suspension.close()
        self._workers.close()
