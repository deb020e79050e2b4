"""Runs tasks with the task runner of Airflow 3, without a database. Airflow's private parts stay in here.

Templates, params, XCom, deferral, reschedule, the state store and retry policies are Airflow's; only the supervisor at
the other end of the task's pipe is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from uuid import uuid4

import structlog
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType, TaskInstanceState, TIRunContext
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time import comms, task_runner
from airflow.serialization.serialized_objects import BaseSerialization

from tests.support.capabilities import AIRFLOW


@dataclass
class Ledger:
    """What outlives a task: XComs by task and key, and its state store. Hand it on to run the next try or task."""

    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    rescheduled_since: datetime | None = None
    xcoms_not_found: list[tuple[str, str]] = field(default_factory=list)
    sent: list[Any] = field(default_factory=list)
    instance: Any = None

    def xcom(self, task_id: str, key: str) -> Any:
        return self.xcoms.get((task_id, key))

    def send(self, msg: Any) -> Any:
        """Response as a supervisor would."""
        self.sent.append(msg)
        match type(msg).__name__:  # by name, since older versions lack some
            case "GetXCom":
                if (msg.task_id, msg.key) not in self.xcoms:  # the real one logs an error
                    self.xcoms_not_found.append((msg.task_id, msg.key))
                return comms.XComResult(key=msg.key, value=self.xcom(msg.task_id, msg.key))
            case "GetXComSequenceSlice":
                found = self.xcom(msg.task_id, msg.key)
                return comms.XComSequenceSliceResult(root=[] if found is None else [found])
            case "GetConnection":
                return comms.ErrorResponse(error=comms.ErrorType.CONNECTION_NOT_FOUND)
            case "SetXCom":
                self._set_xcom(msg)
            case "GetTaskStateStore":
                if msg.key in self.store:
                    return comms.TaskStateStoreResult(value=self.store[msg.key])
                return comms.ErrorResponse(error=comms.ErrorType.TASK_STORE_NOT_FOUND)
            case "SetTaskStateStore":
                self.store[msg.key] = msg.value
            case "GetTaskRescheduleStartDate":
                return comms.TaskRescheduleStartDate(start_date=self.rescheduled_since)
        return comms.OKResponse(ok=True)

    def _set_xcom(self, msg: Any) -> None:
        if msg.value is None and AIRFLOW == (3, 0):
            raise AirflowRuntimeError(comms.ErrorResponse(error=comms.ErrorType.API_SERVER_ERROR))
        self.xcoms[msg.task_id, msg.key] = msg.value

    async def asend(self, msg: Any) -> Any:
        return self.send(msg)


def run_try(
    task: Any, conf: Mapping[str, Any], try_number: int, ledger: Ledger, server: Mapping[str, Any]
) -> tuple[str, Any, BaseException | None]:
    """Run one try of a task.

    :return: state, last message, error.
    """
    now = datetime.now(UTC)
    if not task.has_dag():
        DAG("harness", schedule=None).add_task(task)
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
            dag_run=_dag_run(task.dag.dag_id, now, conf),
            max_tries=task.retries,
            should_retry=try_number <= task.retries,
            upstream_map_indexes={},
            **{**server, "next_kwargs": _encoded(server.get("next_kwargs"))},
        ),
    )
    # A retry starts without the XComs of the try before, as in Airflow.
    ledger.xcoms = {key: value for key, value in ledger.xcoms.items() if key[0] != task.task_id}
    with mock.patch.object(task_runner, "SUPERVISOR_COMMS", ledger, create=True):
        context, log = instance.get_template_context(), structlog.get_logger()
        state, message, error = task_runner.run(instance, context, log)
        if state in {TaskInstanceState.SUCCESS, TaskInstanceState.FAILED}:
            task_runner.finalize(instance, state, context, log, error)
    ledger.instance = instance
    return state.value, message, error


def link_of(ledger: Ledger, link: type) -> str:
    """What the API server shows: the worker has kept it."""
    return ledger.xcom(ledger.instance.task_id, link().xcom_key)


def deferral(message: Any) -> dict[str, Any]:
    """What a task said as it deferred itself, having crossed the processes as JSON."""
    said = json.loads(message.model_dump_json())
    encoded = {key: value for key, value in said.items() if isinstance(value, dict) and "__var" in value}  # before 3.2
    decoded = {key: BaseSerialization.deserialize(value) for key, value in encoded.items()}
    return {**said, **decoded, "timeout": message.trigger_timeout}


def _encoded(next_kwargs: Any) -> Any:
    return BaseSerialization.serialize(next_kwargs) if AIRFLOW < (3, 2) else next_kwargs


def _dag_run(dag_id: str, now: datetime, conf: Mapping[str, Any]) -> DagRun:
    return DagRun(
        dag_id=dag_id,
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
        conf=dict(conf),
        **({"partition_key": None} if "partition_key" in DagRun.model_fields else {}),
    )
