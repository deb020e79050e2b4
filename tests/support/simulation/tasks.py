"""A task of Airflow in a simulation: what it keeps between its tries, and what a process of it does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

from greenlet import getcurrent
from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.bulk.engine import BulkConversion
from airflow_provider_leadconv.bulk.inputs import read_leads
from airflow_provider_leadconv.bulk.run import BulkRun
from airflow_provider_leadconv.bulk.sending_marker import AnyMarker, ConstantMarker, SendingMarker
from airflow_provider_leadconv.bulk.suspension import TICK_INTERVAL, SuspensionDetector
from airflow_provider_leadconv.hooks.task_marker import task_marker
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from tests.support.bulk_simulation import Disk, SimulatedWorkers, Worker
from tests.support.simulation.history import History, Outcome
from tests.support.simulation.plan import SETTLE, Plan
from tests.support.simulation.server import RecordedServer
from tests.support.simulation.world import Process, ProcessWorld


@dataclass
class Task:
    """A task instance.

    :param number: of its run, from 0.
    :param rows: its input.
    :param disk: where its results are.
    :param waits: whether it has ``wait_for_earlier_runs``, or its input a journal beside it.
    :param state: its state store.
    :param try_number: of the process that runs now.
    :param reschedules: of this try.
    """

    number: int
    rows: list[Any]
    disk: Disk
    waits: bool = False
    state: dict[str, str] = field(default_factory=dict)
    try_number: int = 1
    reschedules: int = 0
    processes: list[int] = field(default_factory=list)
    is_done: bool = False

    @property
    def run(self) -> str:
        """Identity of its run."""
        return f"run {self.number}"

    @property
    def context(self) -> dict[str, Any]:
        """What Airflow says of it to its process."""
        return {"ti": SimpleNamespace(try_number=self.try_number), "task_reschedule_count": self.reschedules}

    @property
    def published(self) -> list[dict[str, Any]]:
        """The lines of the results file."""
        return [json.loads(line) for line in self.disk.files.get("results.jsonl", b"").splitlines()]


class _Store(dict[str, str]):
    """The state store of a task instance, as Airflow gives it to the task."""

    def __init__(self, state: dict[str, str]) -> None:
        self.get, self.set = state.get, state.__setitem__  # type: ignore[method-assign]


class _RecordedMarker(SendingMarker):
    """A marker that records what it is told.

    :param marker: keeps it.
    """

    def __init__(self, marker: SendingMarker, history: History, process: Process) -> None:
        self._marker = marker
        self._history = history
        self._process = process

    @override
    def is_set(self) -> bool:
        return self._marker.is_set()

    @override
    def set(self) -> None:
        self._marker.set()
        self._history.note(self._process.name, "records: sending")

    @override
    def clear(self) -> None:
        self._marker.clear()
        self._history.cleared.append((self._history.clock(), self._process.run))
        self._history.note(self._process.name, "records: resolved")


class Program:
    """What a process of a task does."""

    def __init__(self, world: ProcessWorld, server: RecordedServer, plan: Plan, history: History, task: Task) -> None:
        self._world = world
        self._server = server
        self._plan = plan
        self._history = history
        self._task = task

    def operator(self, process: Process) -> str:
        """Run ``LeadConversionBulkOperator`` with a results file."""
        task, batch = self._task, read_leads(self._task.rows)
        clock = self._world if self._plan.object_store else None
        results = task.disk.results(batch, run=task.run, clock=self._world, object_store_clock=clock)
        run = BulkRun(
            self._client(),
            batch,
            results,
            concurrency=self._plan.concurrency,
            marker=self._recorded(ConstantMarker(is_set=batch.has_unknown or task.waits), process),
            workers=SimulatedWorkers(self._world),
            suspension=self._detector(process),
        )
        process.mount = mount = task.disk.mounted
        process.on_kill, process.on_term = partial(task.disk.detach, mount), run.kill
        before = task.disk.files.get("results.jsonl")
        try:
            run.run()
        except (LeadConversionError, ConcurrentRunError) as error:
            return f"failed: {error}"
        task.is_done = run.failure(run.summary.leads) is None and not run.summary.unknown
        if task.disk.files.get("results.jsonl") is not before:
            outcome = {line["lead_id"]: (line["status"], line["conversion_id"]) for line in task.published}
            self._keep(process, [line["lead_id"] for line in task.published], outcome, frozenset(task.processes))
        return str(run.summary)

    def hook(self, process: Process) -> str:
        """Run ``hook.convert_leads`` in a task."""
        task, batch = self._task, read_leads(self._task.rows)
        store = _Store(task.state if self._plan.keeps_state else {})  # without one, it lasts as long as the process
        remembered = task_marker({**task.context, "task_state_store": store})
        marker = AnyMarker(remembered, ConstantMarker(is_set=batch.has_unknown or task.waits))
        job = BulkConversion(
            self._client(),
            batch,
            concurrency=self._plan.concurrency,
            marker=self._recorded(marker, process),
            workers=SimulatedWorkers(self._world),
            suspension=self._detector(process),
        )
        results = []
        try:
            for result in job.convert():
                self._history.note(process.name, f"result of lead {result.lead_id}: {result.status}")
                results.append(result)
        except LeadConversionError as error:
            return f"failed: {error}"
        finally:
            job.close()
        words = {row.lead_id: (str(row.status), row.conversion and row.conversion.id) for row in results}
        self._keep(process, [row.lead_id for row in results], words, frozenset({process.number}))
        if job.stopped_by is None:
            self._history.audits[process.number] = set(job.ledger.duplicates)
        task.is_done = not {status for status, _ in words.values()} & {"unknown", "not_attempted"}
        return f"stopped by {job.stopped_by}" if job.stopped_by else "all leads have a result"

    def _keep(self, process: Process, batch: list[int], results: dict[int, Any], own: frozenset[int]) -> None:
        self._history.outcomes.append(Outcome(process.number, process.run, batch, results, own))

    def _client(self) -> Any:
        return self._server.client(settle_time=SETTLE, requests_per_second=self._plan.requests_per_second)

    def _recorded(self, marker: SendingMarker, process: Process) -> SendingMarker:
        return _RecordedMarker(marker, self._history, process)

    def _detector(self, process: Process) -> SuspensionDetector:
        """Return a detector that ticks beside the process, as in production."""
        detector = SuspensionDetector(self._world)

        def tick() -> None:
            while True:
                self._world.sleep(TICK_INTERVAL)
                detector.tick()

        ticker = Worker(tick)
        self._world.adopt(ticker)
        self._world.at(self._world.now, lambda: self._world.resume(ticker))
        assert ticker.process is getcurrent().process
        return detector
