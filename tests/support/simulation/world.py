"""Several processes on one simulated clock. Each can be killed, suspended and terminated at any moment."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import NoReturn

from greenlet import getcurrent

from tests.support.bulk_simulation import Killed, Worker, World

MAX_EVENTS = 500_000
"""More than any run needs: beyond, it goes round in circles."""


class Terminated(BaseException):
    """What Airflow raises in a task when it receives SIGTERM or runs into its ``execution_timeout``."""


class Process:
    """A process: one worker that decides, and others that make its requests.

    :param number: counts the processes, from 0.
    :param run: identity of the run that it belongs to.
    """

    def __init__(self, number: int, run: str) -> None:
        self.number = number
        self.name = f"P{number}"
        self.run = run
        self.is_alive = True
        self.is_suspended = False
        self.suspended_seconds = 0.0
        self.ending: str | None = None
        """How it ended."""
        self.mount: int | None = None
        """How it sees the disk."""
        self.on_kill: Callable[[], object] = lambda: None
        self.on_term: Callable[[], object] = lambda: None
        self.workers: list[Worker] = []
        self.held: dict[Worker, None] = {}
        """Workers that would go on, were the process not suspended."""

    @property
    def main(self) -> Worker:
        """The worker that decides."""
        return self.workers[0]


class ProcessWorld(World):
    """The time, and processes.

    :param rng: decides in which order the workers of a process go on after a suspension.
    """

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self.on_end: Callable[[Process], object] = lambda process: None
        """Called with each process that has ended."""
        self._rng = rng
        self._waiting: list[tuple[Worker, Callable[[], object]]] = []

    def spawn(self, process: Process, work: Callable[[], str]) -> None:
        """Start a process.

        :param work: what it does; returns how it ended.
        """
        main = Worker(partial(self._run, process, work))
        main.process = process
        process.workers.append(main)
        self.at(self.now, partial(self.resume, main))

    def adopt(self, worker: Worker) -> None:
        worker.process = process = getcurrent().process
        worker.parent = self.hub
        process.workers.append(worker)

    def resume(self, worker: Worker) -> None:
        process = worker.process
        if process.is_suspended:
            process.held[worker] = None
        elif process.is_alive:
            worker.switch()

    def kill(self, process: Process) -> None:
        """SIGKILL. What was sent is on its way."""
        if process.is_alive:
            process.on_kill()
            process.ending = "killed"
            self._reap(process)
            self.on_end(process)

    def terminate(self, process: Process, *, raises: bool) -> None:
        """SIGTERM: Airflow calls ``on_kill`` of the operator, and may raise an error in its main thread.

        :param raises: whether it does.
        """
        if process.is_alive and process.main:
            process.on_term()
            if raises:
                process.main.throw(Terminated)

    def stop(self, process: Process) -> None:
        """SIGSTOP."""
        process.is_suspended = process.is_alive

    def cont(self, process: Process, seconds: float) -> None:
        """SIGCONT.

        :param seconds: how long it was suspended.
        """
        process.is_suspended = False
        process.suspended_seconds += seconds
        held = list(process.held)
        process.held.clear()
        self._rng.shuffle(held)
        for worker in held:
            self.at(self.now, partial(self.resume, worker))

    def run_until(self, moment: float, done: Callable[[], object]) -> None:
        """In a process: wait for a moment, or until ``done``."""
        me = getcurrent()
        assert me is not self.hub, "use run"
        if moment < float("inf"):
            self.at(moment, partial(self.resume, me))
        waiting = (me, done)
        self._waiting.append(waiting)
        try:
            while not done() and self.now < moment:
                self.hub.switch()
        finally:
            self._waiting.remove(waiting)

    def run(self, done: Callable[[], object], *, deadline: float = float("inf")) -> None:
        """Let things happen until ``done``.

        :param deadline: when that must be.
        """
        for _ in range(MAX_EVENTS):
            if done():
                return
            assert self._events, "nothing will ever happen again"
            moment, _, event = heapq.heappop(self._events)
            assert moment <= deadline, "the run does not end"
            self.now = max(self.now, moment)
            event()
            for worker, is_over in list(self._waiting):
                if is_over():
                    self.resume(worker)
        _fail(f"{MAX_EVENTS} events and no end")

    def _run(self, process: Process, work: Callable[[], str]) -> None:
        try:
            ending = work()
        except Killed:
            return
        except Terminated:
            ending = "terminated"
        process.is_alive, process.ending = False, ending
        self.on_end(process)
        self.at(self.now, partial(self._reap, process))

    def _reap(self, process: Process) -> None:
        """With its process every worker ends, whatever it is doing."""
        process.is_alive = process.is_suspended = False
        for worker in process.workers:
            if worker:
                with suppress(Killed):
                    worker.throw(Killed)
        process.workers.clear()


def _fail(message: str) -> NoReturn:
    raise AssertionError(message)
