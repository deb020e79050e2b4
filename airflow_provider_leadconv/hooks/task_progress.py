"""The progress of a task instance in its task state store, which Airflow 3.3 and later show in the UI."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from typing_extensions import override

from airflow_provider_leadconv.progress import Progress, Reporter, Source, reporting_to

log = logging.getLogger(__name__)

KEY = "leadconv_progress"
INTERVAL = 15.0
"""Seconds between two writes. Each is a request to Airflow's API server."""


class TaskProgress(Reporter):
    """Progress in the state store of a task instance. A store that fails never fails the task.

    :param store: the state store; ``None`` below Airflow 3.3 or outside of a task.
    :param clock: returns the seconds of a monotonic clock.
    """

    def __init__(self, store: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._due_at = clock()

    @override
    def offer(self, source: Source) -> None:
        if self._store is not None and self._clock() >= self._due_at:
            self.write(source())

    def write(self, progress: Progress | str) -> None:
        """Write the progress now, such as the last one of the task."""
        if self._store is None:
            return
        self._due_at = self._clock() + INTERVAL
        try:
            self._store.set(KEY, _value(progress))
        except Exception as error:  # noqa: BLE001  # whatever it is, such as that of a custom backend of the store
            log.warning("Progress is only in the log from now on, since the task state store failed: %s", error)
            self._store = None


@contextmanager
def reporting_progress(context: Mapping[str, Any]) -> Iterator[TaskProgress]:
    """Keep the progress of everything that starts in this block in the state store of the task.

    :param context: of the task.
    """
    progress = TaskProgress(context.get("task_state_store"))
    with reporting_to(progress):
        yield progress


def _value(progress: Progress | str) -> dict[str, Any]:
    """Return what is stored: only what is known."""
    if isinstance(progress, str):
        return {"message": progress}
    seconds_left = None
    if progress.total is not None and progress.per_second:
        seconds_left = round(max(0, progress.total - progress.done) / progress.per_second)
    value = {
        "message": progress.text,
        "done": progress.done,
        "total": progress.total,
        "per_second": progress.per_second and round(progress.per_second, 1),
        "seconds_left": seconds_left,
        "failed": progress.failed,
    }
    return {name: number for name, number in value.items() if number is not None}
