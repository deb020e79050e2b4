"""One seed, one history."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from greenlet import getcurrent
from typing_extensions import override

from airflow_provider_leadconv.sandbox.faults import Fault
from airflow_provider_leadconv.sandbox.settings import TokenBucket
from tests.support.bulk_simulation import TOKEN, Disk
from tests.support.simulation.checker import violations
from tests.support.simulation.history import History, Post
from tests.support.simulation.plan import TIMEOUT, Attempt, Interruption, Plan, draw
from tests.support.simulation.server import RecordedServer
from tests.support.simulation.tasks import Program, Task
from tests.support.simulation.world import Process, ProcessWorld

LONGEST_RUN = 7200.0
"""Seconds of simulated time in which a process ends, suspensions not counted."""

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass
class Simulation:
    """The history of a seed, and what is wrong with it."""

    plan: Plan
    history: History
    violations: list[str]


def simulate(seed: int, *, with_log: bool = False) -> Simulation:
    """Run the simulation of a seed.

    :param with_log: whether the timeline has the log of each process, too.
    """
    return run_plan(draw(seed), with_log=with_log)


def run_plan(plan: Plan, *, with_log: bool = False) -> Simulation:
    """Run a plan; the rest is decided by its seed."""
    random.seed(plan.seed)  # the client's jitter
    runner = _Runner(plan)
    handler = _TimelineHandler(runner.history) if with_log else logging.NullHandler()
    with _logging_to(handler):
        return runner.run()


def try_seed(seed: int) -> tuple[int, list[str]]:
    """Run the simulation of a seed, in a process that runs many.

    :return: the seed, and what is wrong.
    """
    try:
        return seed, simulate(seed).violations
    except Exception as error:  # noqa: BLE001  # an error that nothing expects is a finding, too
        return seed, [f"{type(error).__name__}: {error}"]


class _TimelineHandler(logging.Handler):
    """Adds what is logged to the timeline."""

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history

    @override
    def emit(self, record: logging.LogRecord) -> None:
        process = getattr(getcurrent(), "process", None)
        self._history.note(process.name if process else "-", f"log: {record.getMessage()}")


@contextmanager
def _logging_to(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("airflow_provider_leadconv")
    before = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _Runner:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._world = ProcessWorld(random.Random(plan.seed + 1))
        self.history = History(self._world)
        self._server = RecordedServer(
            self._world,
            leads=plan.leads,
            conversions=plan.conversions,
            seed=plan.seed,
            latency=plan.latency,
            limit=TokenBucket(plan.limit) if plan.limit else None,
            second_conversion=plan.second_conversion,
            timeout=TIMEOUT,
        )
        self._server.connect(self.history, random.Random(plan.seed + 2))
        self._server.on_post = self._on_post
        self._world.on_end = lambda process: self.history.note(process.name, str(process.ending))
        store = self._server.store
        self._good = list(store.leads)
        self._bad = [*store.add_leads(plan.bad_leads, convertible=False), *([7] if plan.bad_leads else [])]
        for lead_id in self._good[: plan.converted_before]:
            store.add_conversion(lead_id)
        batch = [*self._good, *self._bad]
        random.shuffle(batch)
        self._task = self._new_task(0, batch)
        self._processes: list[Process] = []
        self._watched: dict[int, list[tuple[Interruption, Attempt]]] = {}
        self._posts: dict[tuple[int, str], int] = {}

    def run(self) -> Simulation:
        found: list[str] = []
        for seconds, position in self._plan.others:
            self._world.at(seconds, partial(self._convert_by_others, self._good[position]))
        try:
            for attempt in self._plan.attempts:
                self._run(attempt)
        except AssertionError as error:
            found.append(str(error))
        # What is still on its way shall count.
        end = self._world.now + 2 * TIMEOUT
        self._world.at(end, lambda: None)
        self._world.run(lambda: self._world.now >= end)
        found += violations(self.history, self._plan, self._good, self._bad)
        return Simulation(self._plan, self.history, found)

    def _run(self, attempt: Attempt) -> None:
        end = self._world.now + attempt.delay
        self._world.at(end, lambda: None)
        self._world.run(lambda: self._world.now >= end)
        if self._processes:
            self.history.note("Airflow", self._rerun(attempt.rerun))
        self._set_faults(attempt)
        self._start(attempt)
        self._world.run(
            lambda: not any(one.is_alive for one in self._processes),
            deadline=self._world.now + LONGEST_RUN + sum(one.seconds for one in attempt.interruptions),
        )
        self._server.service.access.add(TOKEN, ("read", "write"), self._server.store.owners[0])

    def _start(self, attempt: Attempt) -> Process:
        task, process = self._task, Process(len(self._processes), self._task.run)
        self._processes.append(process)
        task.processes.append(process.number)
        program = Program(self._world, self._server, self._plan, self.history, task)
        body = program.operator if self._plan.task == "operator" else program.hook
        self.history.note(process.name, f"starts: try {task.try_number} of {task.run}")
        self._world.spawn(process, partial(body, process))
        for one in attempt.interruptions:
            if one.moment.seconds is None:
                self._watched.setdefault(process.number, []).append((one, attempt))
            else:
                self._world.at(self._world.now + one.moment.seconds, partial(self._interrupt, process, one, attempt))
        return process

    def _new_task(self, number: int, rows: list[Any], *, waits: bool = False) -> Task:
        return Task(number, rows, Disk(self.history.note_written), waits)

    def _rerun(self, kind: str) -> str:
        """Prepare the task for its next process.

        :return: what Airflow does; another kind than the one drawn, if it makes no sense now.
        """
        task = self._task
        if kind == "new run over the results" and task.published:
            self._task = self._new_task(task.number + 1, task.published, waits=task.disk.has_journal)
            return kind
        if kind == "new run that waits":
            self._task = self._new_task(task.number + 1, task.rows, waits=True)
            return kind
        if task.is_done:
            kind = "clear"
        elif kind not in {"reschedule", "clear"}:
            kind = "retry"
        if kind == "clear" and self._plan.loses_state:
            task.state.clear()
        task.reschedules = task.reschedules + 1 if kind == "reschedule" else 0
        task.try_number += kind != "reschedule"
        return kind

    def _set_faults(self, attempt: Attempt) -> None:
        self._server.service.injector.faults = attempt.faults
        self._server.store.late_visibility = attempt.late_visibility

    def _convert_by_others(self, lead_id: int) -> None:
        if lead_id not in self._server.store.conversion_counts:
            self._server.store.add_conversion(lead_id)

    def _on_post(self, number: int, phase: str, _: Post) -> None:
        count = self._posts[number, phase] = self._posts.get((number, phase), 0) + 1
        for one, attempt in self._watched.get(number, ()):
            if (one.moment.post, one.moment.phase) == (count, phase):
                interrupt = partial(self._interrupt, self._processes[number], one, attempt)
                if phase == "sending":
                    self._world.at(self._world.now, interrupt)
                else:
                    interrupt()

    def _interrupt(self, process: Process, what: Interruption, attempt: Attempt) -> None:
        if not process.is_alive or process.is_suspended:
            return
        world, service = self._world, self._server.service
        self.history.note("host", f"{what.kind}: {process.name}")
        if what.kind == "kill":
            world.kill(process)
        elif what.kind == "terminate":
            world.terminate(process, raises=what.raises)
            world.at(world.now + GRACE, partial(world.kill, process))
        elif what.kind == "suspend":
            world.stop(process)
            world.at(world.now + what.seconds, partial(self._continue, process, what.seconds))
        elif what.kind == "suspend beside a successor":
            world.stop(process)
            self._continue_after(self._start_successor(), process)
        elif what.kind == "zombie":
            self._start_successor()
        elif what.kind == "revoke the token":
            service.access.add(TOKEN, ("read",), self._server.store.owners[0])
            service.access.revoke(TOKEN)
        else:
            service.injector.faults = [Fault(name="drop_before"), *attempt.faults]
            world.at(world.now + what.seconds, lambda: process.is_alive and self._set_faults(attempt))

    def _continue(self, process: Process, seconds: float) -> None:
        self.history.note("host", f"{process.name} goes on")
        self._world.cont(process, seconds)

    def _start_successor(self) -> Process:
        """Airflow takes a process for dead, and starts another try of the task."""
        self._task.disk.alive |= {one.mount for one in self._processes if one.is_alive and one.mount is not None}
        self.history.note("Airflow", self._rerun("retry"))
        return self._start(Attempt("retry", 0.0, [], 0.0, []))

    def _continue_after(self, successor: Process, process: Process) -> None:
        """Let a suspended process go on once its successor has ended."""
        stopped_at = self._world.now

        def watch() -> None:
            if successor.is_alive:
                self._world.at(self._world.now + 1.0, watch)
                return
            self.history.suspended_beside_successor[process.number] = self._world.now
            self._continue(process, self._world.now - stopped_at)

        watch()
