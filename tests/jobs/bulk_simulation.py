"""Bulk conversions on a simulated clock: workers, network and server, without a thread and without waiting.

Each task of a worker is a greenlet, so requests overlap as they do in threads, but in an order that only the seed
decides. A request that was sent reaches the server even if its sender is killed meanwhile.
"""

from __future__ import annotations

import heapq
import io
import itertools
import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from urllib.parse import parse_qsl

from greenlet import getcurrent, greenlet

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.messages import Answer, NoAnswer
from airflow_provider_leadconv.jobs.bulk_run import BulkRun
from airflow_provider_leadconv.jobs.leads import read_leads
from airflow_provider_leadconv.jobs.results import Results
from airflow_provider_leadconv.sandbox.answers import error_answer
from airflow_provider_leadconv.sandbox.errors import ApiError
from airflow_provider_leadconv.sandbox.ratelimits import RateLimit
from airflow_provider_leadconv.sandbox.service import Service
from airflow_provider_leadconv.sandbox.settings import Settings
from airflow_provider_leadconv.sandbox.store import Store
from airflow_provider_leadconv.sandbox.transport import HangUp

TOKEN = "0123456789abcdef"
EPOCH = 1_700_000_000


class Killed(BaseException):
    """What stands for SIGKILL: the process does nothing any more, whatever its code says."""


class World:
    """The time, and what is going to happen."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits = 0
        self.process = 0
        self._kill_at = float("inf")
        self._on_kill: Callable[[], object] = lambda: None
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._ties = itertools.count()
        self._hub = getcurrent()

    def clock(self) -> float:
        return self.now

    def at(self, moment: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._events, (moment, next(self._ties), event))

    def start_process(self, kill_after: float | None = None, on_kill: Callable[[], object] = lambda: None) -> None:
        """From now on, nothing of an earlier process goes on.

        :param kill_after: seconds until this one is killed.
        """
        self.process += 1
        self._kill_at = float("inf") if kill_after is None else self.now + kill_after
        self._on_kill = on_kill

    def sleep(self, seconds: float) -> None:
        """In a worker: let others go on meanwhile."""
        me = getcurrent()
        assert me is not self._hub, "the deciding thread waits for its workers only"
        self.at(self.now + seconds, lambda: self.resume(me))
        self._hub.switch()

    def suspend(self) -> None:
        """In a worker: let others go on until somebody resumes it."""
        assert getcurrent() is not self._hub, "the deciding thread makes no request"
        self._hub.switch()

    def resume(self, worker: Worker) -> None:
        """Let a worker go on, if its process is still there."""
        if worker.process == self.process:
            worker.switch()

    def run_until(self, moment: float, done: Callable[[], object]) -> None:
        """Let things happen until a moment, or until ``done``."""
        self.waits += 1
        while not done():
            following = self._events[0][0] if self._events else float("inf")
            if min(following, moment) >= self._kill_at:
                self.now, self._kill_at = max(self.now, self._kill_at), float("inf")
                self._on_kill()
                raise Killed
            if following > moment:
                assert moment < float("inf"), "nothing will ever happen again"
                self.now = max(self.now, moment)
                return
            _, _, event = heapq.heappop(self._events)
            self.now = max(self.now, following)
            event()


class Worker(greenlet):
    process = 0


class SimulatedWorkers:
    """In place of :class:`~airflow_provider_leadconv.jobs.workers.Workers`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ended: list[Future | None] = []
        self._running: set[Worker] = set()
        self.most = 0

    def submit(self, task):
        future: Future = Future()

        def work():
            try:
                future.set_result(task())
            except Exception as error:  # noqa: BLE001
                future.set_exception(error)
            self._running.discard(getcurrent())
            self._ended.append(future)

        worker = Worker(work)
        worker.process = self._world.process
        self._running.add(worker)
        self.most = max(self.most, len(self._running))
        self._world.at(self._world.now, lambda: self._world.resume(worker))
        return future

    def next_ended(self, timeout):
        self._world.run_until(self._world.now + max(0.0, timeout), lambda: self._ended)
        return self._ended.pop(0) if self._ended else None

    def wake(self):
        self._ended.append(None)

    def close(self, *, wait):
        """What they are doing is still done."""


@dataclass
class Server:
    """The sandbox's account and service, a network away.

    :param latency: shortest and longest time a request is worked on.
    :param limit: decides about each request when it arrives.
    :param throttled: status of the answer to a request over the limit.
    """

    world: World
    leads: int = 20
    conversions: int = 30
    seed: int = 0
    faults: Sequence[object] = ()
    latency: tuple[float, float] = (0.05, 0.5)
    limit: RateLimit | None = None
    throttled: int = 429
    second_conversion: str = "new"
    timeout: float = 10.0

    def __post_init__(self):
        self.store = Store(
            leads=self.leads,
            conversions=self.conversions,
            seed=self.seed,
            clock=self.world.clock,
            wall_clock=lambda: EPOCH + self.world.now,
        )
        settings = Settings().changed(second_conversion=self.second_conversion)
        self.service = Service(self.store, settings, self.faults, seed=self.seed)
        self.service.access.add(TOKEN, ("read", "write"), self.store.owners[0])
        self.log: list[tuple[float, str, int]] = []
        self._rng = random.Random(self.seed)

    def __call__(self, request, token):
        """The transport of a client: answers after a while, whatever becomes of the sender meanwhile."""
        answers: list[Answer | NoAnswer] = []
        sender = getcurrent()
        arrival = self.world.now + self._rng.uniform(0.005, 0.03)
        self.world.at(arrival, lambda: self._work(request, token, answers, sender))
        deadline = self.world.now + self.timeout
        self.world.at(deadline, lambda: self._give_up(answers, sender))
        self.world.suspend()
        return answers[0]

    def close(self):
        pass

    def _give_up(self, answers, sender):
        if not answers:
            answers.append(NoAnswer(sent=True, reason="no answer in time"))
            self.world.resume(sender)

    def _work(self, request, token, answers, sender):
        answer = self._answer(request, token)
        seconds = self._rng.uniform(*self.latency)
        if isinstance(answer, HangUp):
            seconds = max(seconds, getattr(answer, "_seconds", 0.0))
        self.world.at(self.world.now + seconds, lambda: self._deliver(answer, answers, sender))

    def _answer(self, request, token):
        if self.limit and not self.limit.admit(self.world.now):
            self.log.append((self.world.now, request.method, self.throttled))
            return Answer(status=self.throttled, headers={}, body=b"")
        headers = {"user-agent": "test", "authorization": f"Bearer {token}"}
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        body = request.body or b""
        try:
            grant = self.service.authorise(request.method, "/v2/lead_conversions", headers)
            response, _ = self.service.respond(grant, request.method, query, "application/json", body, "id")
        except ApiError as error:
            response = error_answer(error, "id")
        self.log.append((self.world.now, request.method, response.status_code))
        return response

    def _deliver(self, answer, answers, sender):
        if answers:
            return  # the sender has given up
        if isinstance(answer, HangUp):
            answers.append(NoAnswer(sent=True, reason="the connection broke"))
        elif isinstance(answer, Answer):
            answers.append(answer)
        else:
            headers = {name.lower(): value for name, value in answer.headers.items()}
            answers.append(Answer(status=answer.status_code, headers=headers, body=bytes(answer.body)))
        self.world.resume(sender)

    def client(self, *, settle_time=5.0, requests_per_second=10.0):
        config = ClientConfig(
            token=TOKEN,
            base_url="http://127.0.0.1",
            timeout=self.timeout,
            settle_time=settle_time,
            retry_timeout=60.0,
            requests_per_second=requests_per_second,
        )
        return LeadConversionsClient(config, transport=self, clock=self.world.clock, sleep=self.world.sleep)

    def counts(self):
        """Lead id -> how often it was converted, late commits included."""
        self.world.now += 1000.0
        return self.store.conversion_counts


class Disk:
    """A folder and a journal that outlive a process, but take nothing from one that was killed."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.journal_bytes = b""
        self.mounted = 0

    def results(self, leads, *, run="run"):
        """As a process that starts now finds them."""
        self.mounted += 1
        return Results(_Folder(self), "results.jsonl", _Journal(self), run=run, leads=leads)

    def unplug(self):
        """From now on, nothing of what the process that has it writes is kept."""
        self.mounted += 1


class _Folder:
    def __init__(self, disk):
        self._disk, self._mount = disk, disk.mounted

    def names(self):
        return list(self._disk.files)

    def open(self, name):
        return io.BytesIO(self._disk.files[name])

    def draft(self, name):
        return _Draft()

    def publish(self, draft, name):
        if self._mount == self._disk.mounted:
            self._disk.files[name] = b"".join(draft.parts)


class _Draft:
    def __init__(self):
        self.parts = []
        self.write = self.parts.append

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class _Journal:
    def __init__(self, disk):
        self._disk, self._mount = disk, disk.mounted

    def lines(self):
        return iter(self._disk.journal_bytes.splitlines(keepends=True))

    def append(self, line):
        if self._mount == self._disk.mounted:
            self._disk.journal_bytes += line

    def flush(self):
        pass

    def remove(self):
        if self._mount == self._disk.mounted:
            self._disk.journal_bytes = b""

    def close(self):
        pass


@dataclass
class Run:
    """A process that converts a batch, and what it left."""

    run: BulkRun
    workers: SimulatedWorkers
    killed: bool
    lines: list[dict]

    @property
    def outcomes(self):
        return {line["lead_id"]: line["outcome"] for line in self.lines}


def convert(server, leads, disk=None, *, kill_after=None, run="run", goes_on=False, **options):
    """Run one process to its end, or until it is killed.

    :param kill_after: seconds.
    :param goes_on: whether an earlier process may have been killed.
    """
    world = server.world
    disk = disk or Disk()
    batch = read_leads(leads)
    workers = SimulatedWorkers(world)
    world.start_process(kill_after, disk.unplug)
    settings = {name: options.pop(name) for name in ("settle_time", "requests_per_second") if name in options}
    killed = False
    results = disk.results(batch, run=run)
    job = BulkRun(
        server.client(**settings),
        batch,
        results,
        concurrency=options.pop("concurrency", 4),
        may_follow_killed_run=goes_on,
        workers=workers,
    )
    try:
        job.run(**options)
    except Killed:
        killed = True
    finally:
        world.start_process()
    lines = [json.loads(line) for line in disk.files.get("results.jsonl", b"").splitlines()]
    return Run(job, workers, killed, lines)
