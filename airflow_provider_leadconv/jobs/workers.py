"""A few threads that make requests while one thread decides."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Workers:
    """Runs tasks in threads and hands their futures back as they end.

    Not an executor of the standard library, as the interpreter would wait at its exit for a request that is in flight.

    :param count: number of threads.
    """

    def __init__(self, count: int) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Future[Any] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        """:return: the future of a task, which :meth:`next_ended` will return once."""
        future: Future[Any] = Future()
        self._tasks.put((future, task))
        return future

    def next_ended(self, timeout: float) -> Future[Any] | None:
        """Wait for a task to end.

        :param timeout: seconds.
        :return: its future, or ``None`` after the timeout or :meth:`wake`.
        """
        try:
            return self._ended.get(timeout=max(0.0, timeout))
        except queue.Empty:
            return None

    def wake(self) -> None:
        """End a :meth:`next_ended` that waits. Safe in a signal handler."""
        self._ended.put(None)

    def close(self, *, wait: bool) -> None:
        """Take no more tasks.

        :param wait: for the tasks that were submitted.
        """
        for _ in self._threads:
            self._tasks.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _work(self) -> None:
        while (item := self._tasks.get()) is not None:
            future, task = item
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001  # raised again where the future's result is asked for
                future.set_exception(error)
            self._ended.put(future)
