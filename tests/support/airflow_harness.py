"""Run tasks of ours through Airflow's own task runner, whichever Airflow it is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_leadconv.operators.bulk_outputs import SUMMARY_KEY
from tests.support.capabilities import AIRFLOW
from tests.support.history_recorder import RECORDER

if AIRFLOW >= (3, 0):
    import tests.support.airflow3_runner as runner
else:
    import tests.support.airflow2_runner as runner

Ledger = runner.Ledger


@dataclass
class TaskRun:
    """How one try of a task ended.

    :param state: such as ``success``, ``failed``, ``up_for_retry``, ``deferred``.
    :param message: the last message of the task to the supervisor, such as a ``DeferTask``.
    :param error: what it raised.
    :param value: what it returned, as XCom has it.
    :param ledger: for the next try or task.
    """

    state: str
    message: Any
    error: BaseException | None
    value: Any
    ledger: Ledger = field(repr=False)

    @property
    def deferral(self) -> dict[str, Any]:
        """``classpath``, ``trigger_kwargs``, ``next_method``, ``next_kwargs`` and ``timeout`` of a deferred task."""
        return runner.deferral(self.message)


def run_task(
    task: Any,
    *,
    conf: Mapping[str, Any] | None = None,
    try_number: int = 1,
    ledger: Ledger | None = None,
    server: Mapping[str, Any] | None = None,
) -> TaskRun:
    """Run one try of a task.

    :param task: an operator; it gets a DAG of its own if it has none.
    :param conf: what the run was triggered with, for params.
    :param ledger: of an earlier try, or of the tasks before.
    :param server: what else the server says of a try that is resumed, such as ``next_method``.
    """
    ledger = ledger or Ledger()
    started = time.monotonic()
    state, message, error = runner.run_try(task, conf or {}, try_number, ledger, server or {})
    value = ledger.xcom(task.task_id, "return_value")
    RECORDER.add_task(task, value, ledger.xcom(task.task_id, SUMMARY_KEY), started)
    return TaskRun(state, message, error, value, ledger)


def link_of(run: TaskRun, link: type) -> str:
    """What Airflow shows as an extra link of a task that was run, as a registered link does it."""
    return runner.link_of(run.ledger, link)


def run_dag(dag: DAG, *, conf: Mapping[str, Any] | None = None) -> dict[str, TaskRun]:
    """Run the tasks of a DAG one after the other, as they depend on each other, and stop at the first failure.

    :return: task id -> how it ended.
    """
    ledger = Ledger()
    runs: dict[str, TaskRun] = {}
    for task in dag.topological_sort():
        runs[task.task_id] = run_task(task, conf=conf, ledger=ledger)
        if runs[task.task_id].state != "success":
            break
    return runs
