"""Runs tasks with the task runner of Airflow 2, which needs a database. Airflow's private parts stay in here."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from airflow.exceptions import TaskDeferred
from airflow.models import DAG, DagRun, TaskInstance, XCom
from airflow.utils.db import initdb
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunType


@dataclass
class Ledger:
    """Which DAG run it is. What outlives a task is in the database."""

    dag_id: str = ""
    run_id: str = ""
    rescheduled_since: datetime | None = None  # known to the database
    xcoms_not_found: tuple[tuple[str, str], ...] = ()  # Airflow 2 says nothing about them
    instance: Any = None

    def xcom(self, task_id: str, key: str) -> Any:
        return XCom.get_one(key=key, task_id=task_id, dag_id=self.dag_id, run_id=self.run_id)


def run_try(
    task: Any, conf: Mapping[str, Any], try_number: int, ledger: Ledger, server: Mapping[str, Any]
) -> tuple[str, Any, BaseException | None]:
    """Run one try of a task.

    :return: state, last message, error.
    """
    _make_database()
    if not task.has_dag():
        DAG("harness", schedule=None).add_task(task)
    if not ledger.run_id:
        _start_run(task.dag, conf, ledger)
    message, raised = None, None
    with create_session() as session:
        names = {"dag_id": ledger.dag_id, "run_id": ledger.run_id, "task_id": task.task_id}
        instance = session.query(TaskInstance).filter_by(**names).one()
        instance.task, instance.state = task, TaskInstanceState.RUNNING
        instance.try_number, instance.max_tries = try_number, task.retries
        instance.next_method, instance.next_kwargs = server.get("next_method"), server.get("next_kwargs")
        session.commit()
        try:
            instance._run_raw_task(session=session, raise_on_defer=True)
        except TaskDeferred as deferred:
            message, instance.state = deferred, TaskInstanceState.DEFERRED
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is how the try ended
            raised = error
        ledger.instance = instance.key
        return instance.state.value, message, raised


def link_of(ledger: Ledger, link: type) -> str:
    """What the webserver shows: it asks the link."""
    return link().get_link(None, ti_key=ledger.instance)


def deferral(message: TaskDeferred) -> dict[str, Any]:
    """What a task said as it deferred itself, having crossed the processes as JSON."""
    classpath, trigger_kwargs = message.trigger.serialize()
    said = {"next_method": message.method_name, "next_kwargs": message.kwargs or {}}
    crossed = json.loads(json.dumps({"classpath": classpath, "trigger_kwargs": trigger_kwargs, **said}))
    return {**crossed, "timeout": message.timeout}


def _start_run(dag: DAG, conf: Mapping[str, Any], ledger: Ledger) -> None:
    ledger.dag_id, ledger.run_id = dag.dag_id, "run"
    with create_session() as session:  # another test's
        session.query(DagRun).filter_by(dag_id=ledger.dag_id, run_id=ledger.run_id).delete()
    now = datetime.now(UTC)
    dag.create_dagrun(
        run_id=ledger.run_id,
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        execution_date=now,
        data_interval=(now, now),
        start_date=now,
        conf=dict(conf),
    )


@cache
def _make_database() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Airflow's own
        initdb(load_connections=False)
