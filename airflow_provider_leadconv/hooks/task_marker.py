"""The marker of a task instance: were conversions sent by an earlier process of it?

From Airflow 3.3 on it is kept in the task state store, which outlives retries and reschedules. Before, it lasts as long
as the process. If nothing is kept, a retry or a reschedule counts as one that may follow a killed process.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from airflow_provider_leadconv.bulk.sending_marker import ConstantMarker, SendingMarker

KEY = "leadconv_conversions"
_SENDING = "sending"
_RESOLVED = "resolved"
_IDENTITY = ("dag_id", "run_id", "task_id", "map_index", "try_number")


class _ProcessStore(dict[str, str]):
    """A state store that a process has for a task instance: a retry waits once, and not at each call of the hook."""

    set = dict.__setitem__


_stores: dict[tuple[Any, ...], _ProcessStore] = {}


def is_rerun(context: Mapping[str, Any]) -> bool:
    """Return whether an earlier process of the task instance may have run: in a retry, or before a reschedule.

    A task that a retry policy reschedules (Airflow 3.4) keeps its try number.

    :param context: of the task; empty outside of a task.
    """
    task_instance = context.get("ti")
    if task_instance is None:
        return False
    return task_instance.try_number > 1 or bool(context.get("task_reschedule_count"))


def task_marker(context: Mapping[str, Any]) -> SendingMarker:
    """Return the marker of a task instance.

    :param context: of the task; empty outside of a task, where nothing is remembered.
    """
    task_instance = context.get("ti")
    if task_instance is None:
        return ConstantMarker(is_set=False)
    store = context.get("task_state_store")
    if store is None:
        identity = tuple(getattr(task_instance, name, None) for name in _IDENTITY)
        store = _stores.setdefault((os.getpid(), *identity), _ProcessStore())
    return TaskMarker(store, is_rerun=is_rerun(context))


def current_task_marker() -> SendingMarker:
    """Return the marker of the task instance that calls; outside of a task, nothing is remembered."""
    from airflow.providers.common.compat.sdk import AirflowException, get_current_context

    try:
        return task_marker(get_current_context())
    except (AirflowException, RuntimeError):  # not in a task
        return ConstantMarker(is_set=False)


class TaskMarker(SendingMarker):
    """A marker in the state store of a task instance.

    :param store: the state store.
    :param is_rerun: whether an earlier process of the task instance may have run.
    """

    def __init__(self, store: Any, *, is_rerun: bool) -> None:
        self._store = store
        self._is_rerun = is_rerun

    @override
    def is_set(self) -> bool:
        stored = self._store.get(KEY)
        return self._is_rerun if stored is None else stored == _SENDING

    @override
    def set(self) -> None:
        self._store.set(KEY, _SENDING)

    @override
    def clear(self) -> None:
        self._store.set(KEY, _RESOLVED)
