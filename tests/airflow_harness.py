"""Run tasks of ours through Airflow's own task runner, without a database. The private parts of Airflow stay in here.

Templates, params, XCom, deferral, reschedule, the state store and retry policies are Airflow's; only the supervisor at
the other end of the task's pipe is ours. Tried on Airflow 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from uuid import uuid4

import structlog
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType, TIRunContext
from airflow.sdk.execution_time import comms, task_runner


@dataclass
class Ledger:
    """What outlives a task: XComs by task and key, and its state store. Hand it on to run the next try or task."""

    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    rescheduled_since: datetime | None = None
    sent: list[Any] = field(default_factory=list)

    def send(self, msg: Any) -> Any:
        """Answer as a supervisor would."""
        self.sent.append(msg)
        match msg:
            case comms.GetXCom():
                return comms.XComResult(key=msg.key, value=self.xcoms.get((msg.task_id, msg.key)))
            case comms.GetXComSequenceSlice():
                found = self.xcoms.get((msg.task_id, msg.key))
                return comms.XComSequenceSliceResult(root=[] if found is None else [found])
            case comms.SetXCom():
                self.xcoms[msg.task_id, msg.key] = msg.value
            case comms.GetTaskStateStore():
                if msg.key in self.store:
                    return comms.TaskStateStoreResult(value=self.store[msg.key])
                return comms.ErrorResponse(error=comms.ErrorType.TASK_STORE_NOT_FOUND)
            case comms.SetTaskStateStore():
                self.store[msg.key] = msg.value
            case comms.GetTaskRescheduleStartDate():
                return comms.TaskRescheduleStartDate(start_date=self.rescheduled_since)
        return comms.OKResponse(ok=True)

    async def asend(self, msg: Any) -> Any:
        return self.send(msg)


@dataclass
class TaskRun:
    """How one try of a task ended.

    :param state: such as ``success``, ``failed``, ``up_for_retry``, ``deferred``.
    :param message: what the task told the supervisor last, such as a ``DeferTask``.
    :param error: what it raised.
    :param value: what it returned, as XCom has it.
    :param ledger: for the next try or task.
    """

    state: str
    message: Any
    error: BaseException | None
    value: Any
    ledger: Ledger = field(repr=False)


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
    :param server: what else the server says of a try that goes on, such as ``next_method``.
    """
    ledger = ledger or Ledger()
    if not task.has_dag():
        DAG("harness", schedule=None).add_task(task)
    now = datetime.now(UTC)
    dag_run = DagRun(
        dag_id=task.dag.dag_id,
        run_id="run",
        logical_date=now,
        data_interval_start=now,
        data_interval_end=now,
        run_after=now,
        start_date=now,
        end_date=None,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        consumed_asset_events=[],
        partition_key=None,
        conf=dict(conf or {}),
    )
    instance = task_runner.RuntimeTaskInstance.model_construct(
        id=uuid4(),
        task_id=task.task_id,
        dag_id=task.dag.dag_id,
        run_id="run",
        try_number=try_number,
        map_index=-1,
        dag_version_id=uuid4(),
        hostname="localhost",
        task=task,
        bundle_instance=None,
        start_date=now,
        max_tries=task.retries,
        context_carrier=None,
        _ti_context_from_server=TIRunContext(
            dag_run=dag_run,
            max_tries=task.retries,
            should_retry=try_number <= task.retries,
            upstream_map_indexes={},
            **(server or {}),
        ),
    )
    # A retry starts without the XComs of the try before, as in Airflow.
    ledger.xcoms = {key: value for key, value in ledger.xcoms.items() if key[0] != task.task_id}
    with mock.patch.object(task_runner, "SUPERVISOR_COMMS", ledger, create=True):
        state, message, error = task_runner.run(instance, instance.get_template_context(), structlog.get_logger())
    value = ledger.xcoms.get((task.task_id, "return_value"))
    return TaskRun(state=state.value, message=message, error=error, value=value, ledger=ledger)


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
