"""Bulk conversions on a simulated clock: workers, network and server, without a thread and without waiting.

:class:`Server` is not :class:`tests.support.endpoint.Endpoint`: it runs the sandbox's own service, so that a bulk meets
the same faults in simulated time as it does over sockets.

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
from airflow_provider_leadconv.api.http import Request, Response, TransportFailure
from airflow_provider_leadconv.bulk.engine import BulkConversion
from airflow_provider_leadconv.bulk.inputs import read_leads
from airflow_provider_leadconv.bulk.outputs.journal import ObjectJournal
from airflow_provider_leadconv.bulk.outputs.results import Results
from airflow_provider_leadconv.bulk.run import BulkRun
from airflow_provider_leadconv.bulk.sending_marker import ConstantMarker
from airflow_provider_leadconv.bulk.suspension import SuspensionDetector
from airflow_provider_leadconv.sandbox.responses import error_response
from airflow_provider_leadconv.sandbox.schemas import ApiError
from airflow_provider_leadconv.sandbox.service import ApiRequest, Service
from airflow_provider_leadconv.sandbox.settings import RateLimit, SandboxSettings
from airflow_provider_leadconv.sandbox.store import Store
from airflow_provider_leadconv.sandbox.transport import HangUp
from tests.support.clock import Clock
from tests.support.responses import LOST, UNFORESEEN, given

TOKEN = "0123456789abcdef"
EPOCH = 1_700_000_000


class Killed(BaseException):
    """What stands for SIGKILL: the process does nothing any more, whatever its code says."""


class World(Clock):
    """The time, and what is going to happen. Whoever sleeps lets others run meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0
        self.process = 0
        self.alive: set[int] = set()
        """Processes that go on beside the current one."""
        self._deciding: list[tuple[Worker, float, Callable[[], object]]] = []
        self._kill_at = float("inf")
        self._on_kill: Callable[[], object] = lambda: None
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._ties = itertools.count()
        self.hub = getcurrent()

    def at(self, moment: float, event: Callable[[], object]) -> None:
        heapq.heappush(self._events, (moment, next(self._ties), event))

    def start_process(self, kill_after: float | None = None, on_kill: Callable[[], object] = lambda: None) -> None:
        """From now on, no earlier process does anything.

        :param kill_after: seconds until this one is killed.
        """
        self.process += 1
        self._kill_at = float("inf") if kill_after is None else self.now + kill_after
        self._on_kill = on_kill

    def sleep(self, seconds: float) -> None:
        """In a worker: let others run meanwhile."""
        me = getcurrent()
        assert me is not self.hub, "the deciding thread waits for its workers only"
        self.at(self.now + seconds, lambda: self.resume(me))
        self.hub.switch()

    def suspend(self) -> None:
        """In a worker: let others run until it is resumed."""
        assert getcurrent() is not self.hub, "the deciding thread makes no request"
        self.hub.switch()

    def adopt(self, worker: Worker) -> None:
        """Make a worker part of the process that runs now."""
        worker.process = self.current_process

    def resume(self, worker: Worker) -> None:
        """Continue a worker, if its process is still alive."""
        if worker.process == self.process or worker.process in self.alive:
            worker.switch()

    @property
    def current_process(self) -> int:
        return getattr(getcurrent(), "process", self.process)

    def start_beside(self, decide: Callable[[], None]) -> None:
        """Start a process that goes on while others run. Its deciding thread is a greenlet, too."""
        self.process += 1
        self.alive.add(self.process)
        decider = Worker(decide)
        decider.process = self.process
        self.at(self.now, decider.switch)

    def _let_others_decide(self) -> None:
        for entry in list(self._deciding):
            decider, moment, done = entry
            if done() or moment <= self.now:
                self._deciding.remove(entry)
                decider.switch()

    def run_until(self, moment: float, done: Callable[[], object]) -> None:
        """Let things happen until a moment, or until ``done``."""
        if getcurrent() is not self.hub:
            if done():
                return
            self._deciding.append((getcurrent(), moment, done))
            self.at(moment, lambda: None)
            self.hub.switch()
            return
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
            self._let_others_decide()


class Worker(greenlet):
    process: object = 0


class SimulatedWorkers:
    """In place of :class:`~airflow_provider_leadconv.bulk.workers.Workers`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._completed: list[Future | None] = []
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
            self._completed.append(future)

        worker = Worker(work, self._world.hub)
        self._world.adopt(worker)
        self._running.add(worker)
        self.most = max(self.most, len(self._running))
        self._world.at(self._world.now, lambda: self._world.resume(worker))
        return future

    def next_completed(self, timeout):
        self._world.run_until(self._world.now + max(0.0, timeout), lambda: self._completed)
        return self._completed.pop(0) if self._completed else None

    def wake(self):
        self._completed.append(None)

    def close(self):
        """What they are doing is still done."""


@dataclass
class Server:
    """The sandbox's account and service, a network away.

    :param latency: shortest and longest time a request is worked on.
    :param limit: decides about each request when it arrives.
    :param throttled: status of the response to a request over the limit.
    :param on_request: called with each request when it arrives; may return a response to give instead of the service's.
    :param make_store: makes the account.
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
    on_request: Callable[[Request], Response | None] = lambda request: None
    make_store: Callable[..., Store] = Store

    def __post_init__(self):
        self.store = self.make_store(
            leads=self.leads,
            conversions=self.conversions,
            seed=self.seed,
            clock=self.world,
            wall_clock=lambda: EPOCH + self.world.now,
        )
        settings = SandboxSettings().changed(second_conversion=self.second_conversion)
        self.service = Service(self.store, settings, self.faults, seed=self.seed)
        self.service.access.add(TOKEN, ("read", "write"), self.store.owners[0])
        self.log: list[tuple[float, str, int]] = []
        self._rng = random.Random(self.seed)
        self._losses = random.Random(self.seed)

    def __call__(self, request, token):
        """The transport of a client: responses after a while, whatever becomes of the sender meanwhile."""
        responses: list[Response | TransportFailure | Exception] = []
        sender = getcurrent()
        arrival = self.world.now + self._rng.uniform(0.005, 0.03)
        self.world.at(arrival, lambda: self._work(request, token, responses, sender))
        deadline = self.world.now + self.timeout
        self.world.at(deadline, lambda: self._give_up(responses, sender))
        self.world.suspend()
        return given(responses[0])

    def close(self):
        pass

    def _give_up(self, responses, sender):
        if not responses:
            responses.append(TransportFailure(sent=True, reason="no response in time"))
            self.world.resume(sender)

    def _work(self, request, token, responses, sender):
        response = self._response(request, token)
        seconds = self._rng.uniform(*self.latency)
        if isinstance(response, HangUp):
            seconds = max(seconds, response.seconds)
        self.world.at(self.world.now + seconds, lambda: self._deliver(response, responses, sender))

    def _response(self, request, token):
        if self.limit and not self.limit.admit(self.world.now):
            self.log.append((self.world.now, request.method, self.throttled))
            return Response(status_code=self.throttled, headers={}, body=b"")
        if reply := self.on_request(request):
            return reply
        headers = {"user-agent": "test", "authorization": f"Bearer {token.reveal()}"}
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        body = request.body or b""
        try:
            grant = self.service.authorise(request.method, "/v2/lead_conversions", headers)
            asked = ApiRequest(request.method, query, "application/json", body, "id", "https://api.getbase.com")
            response, _ = self.service.respond(grant, asked)
        except ApiError as error:
            response = error_response(error, "id")
        self.log.append((self.world.now, request.method, response.status_code))
        return response

    def _deliver(self, response, responses, sender):
        if responses:
            return  # the sender has given up
        if isinstance(response, HangUp):
            responses.append(self._losses.choice([LOST, UNFORESEEN]))
        elif isinstance(response, Response):
            responses.append(response)
        else:
            headers = {name.lower(): value for name, value in response.headers.items()}
            responses.append(Response(status_code=response.status_code, headers=headers, body=bytes(response.body)))
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
        return LeadConversionsClient(config, transport=self, clock=self.world, sleep=self.world.sleep)

    def counts(self):
        """Lead id -> how often it was converted, late commits included."""
        self.world.now += 1000.0
        return self.store.conversion_counts


_STOPPED = Clock()


class Disk:
    """A folder and a journal that outlive a process, but take nothing from one that was killed.

    :param on_write: called with the name of what is written, and its bytes.
    """

    def __init__(self, on_write: Callable[[str, bytes], object] = lambda name, data: None) -> None:
        self.on_write = on_write
        self.files: dict[str, bytes] = {}
        self.journal_bytes = b""
        self.mounted = 0
        self.alive: set[int] = set()
        """Mounts of processes that go on beside the current one."""

    def results(self, leads, *, run="run", clock=_STOPPED, object_store_clock=None):
        """As a process that starts now finds them.

        :param clock: of the lease.
        :param object_store_clock: to keep them in an object store, where a killed process loses what it did not flush.
        """
        self.mounted += 1
        folder, journal = _Folder(self), _Journal(self)
        if object_store_clock:
            journal = ObjectJournal(folder, "results.jsonl.journal", object_store_clock)
        return Results(folder, "results.jsonl", journal, run=run, leads=leads, clock=clock)

    def is_attached(self, mount):
        return mount == self.mounted or mount in self.alive

    @property
    def has_journal(self):
        """As :func:`airflow_provider_leadconv.bulk.outputs.journal.has_journal` finds it."""
        return bool(self.journal_bytes) or any(name.startswith("results.jsonl.journal-") for name in self.files)

    def detach(self, mount):
        """From now on, nothing of what is written through a mount is kept."""
        self.alive.discard(mount)
        if mount == self.mounted:
            self.unplug()

    def unplug(self):
        """From now on, nothing of what the process that has it writes is kept."""
        self.mounted += 1


class _Folder:
    def __init__(self, disk):
        self._disk, self._mount = disk, disk.mounted

    def names(self):
        return list(self._disk.files)

    def open(self, name):
        if name not in self._disk.files:
            raise FileNotFoundError(name)
        return io.BytesIO(self._disk.files[name])

    def remove(self, name):
        if self._disk.is_attached(self._mount):
            self._disk.files.pop(name, None)

    def draft(self, name):
        return _Draft()

    def publish(self, draft, name):
        if self._disk.is_attached(self._mount):
            data = self._disk.files[name] = b"".join(draft.parts)
            self._disk.on_write(name, data)


class _Draft:
    def __init__(self):
        self.parts = []
        self.write = self.parts.append
        self.writelines = self.parts.extend

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class _Journal:
    name = "journal"

    def __init__(self, disk):
        self._disk, self._mount = disk, disk.mounted

    def lines(self):
        return iter(self._disk.journal_bytes.splitlines(keepends=True))

    def append(self, line):
        if self._disk.is_attached(self._mount):
            self._disk.journal_bytes += line
            self._disk.on_write("journal", line)

    def flush(self):
        pass

    def remove(self):
        if self._disk.is_attached(self._mount):
            self._disk.journal_bytes = b""

    def close(self):
        pass

    def abandon(self):
        pass


@dataclass
class Run:
    """A process that converts a batch, and what it left."""

    run: BulkRun
    workers: SimulatedWorkers
    killed: bool
    lines: list[dict]

    @property
    def statuses(self):
        return {line["lead_id"]: line["status"] for line in self.lines}


def convert(server, leads, disk=None, *, kill_after=None, run="run", is_resumed=False, **options):
    """Run one process to its end, or until it is killed.

    :param kill_after: seconds.
    :param is_resumed: whether an earlier process may have been killed.
    """
    world = server.world
    disk = disk or Disk()
    batch = read_leads(leads)
    workers = SimulatedWorkers(world)
    world.start_process(kill_after, disk.unplug)
    settings = {name: options.pop(name) for name in ("settle_time", "requests_per_second") if name in options}
    killed = False
    results = disk.results(batch, run=run, clock=world)
    job = BulkRun(
        server.client(**settings),
        batch,
        results,
        concurrency=options.pop("concurrency", 4),
        marker=ConstantMarker(is_set=is_resumed),
        suspension=SuspensionDetector(world),
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


@dataclass
class RunBeside:
    """A process that goes on while others run."""

    run: BulkRun | None = None
    error: Exception | None = None


def convert_beside(server, leads, disk, *, settle_time, concurrency=4):
    """Start a process that converts a batch while the current thread goes on, and that sees no lock of others."""
    beside, world = RunBeside(), server.world

    def decide():
        batch = read_leads(leads)
        results = disk.results(batch, clock=world)
        disk.alive.add(disk.mounted)
        beside.run = BulkRun(
            server.client(settle_time=settle_time),
            batch,
            results,
            concurrency=concurrency,
            suspension=SuspensionDetector(world),
            workers=SimulatedWorkers(world),
        )
        try:
            beside.run.run()
        except Exception as error:  # noqa: BLE001
            beside.error = error

    world.start_beside(decide)
    return beside


def job_of(server, leads=None, **options):
    workers = SimulatedWorkers(server.world)
    server.world.start_process()
    leads = read_leads(server.store.leads if leads is None else leads)
    return BulkConversion(server.client(settle_time=5.0), leads, workers=workers, **options)


def methods(server):
    return [method for _, method, _ in server.log]


def words(results):
    return {result.lead_id: str(result.status) for result in results}
