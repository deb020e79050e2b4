"""Serves accounts over HTTP on loopback, from a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

from benchmarks.accounts import Account, AccountSettings, Traffic
from benchmarks.http_protocol import HttpConnection, Response, header

_TICK = 0.05


@dataclass(frozen=True)
class Health:
    """Whether the server was the limit.

    :param cpu_s: its CPU seconds so far.
    :param lag_s: the most by which it was late since it was last asked.
    """

    cpu_s: float
    lag_s: float


class AccountServer:
    """A context manager: the process runs from entering to leaving it."""

    base_url: str

    def __init__(self) -> None:
        self._tokens = (f"token-{number}" for number in itertools.count(1))

    def __enter__(self) -> Self:
        context = multiprocessing.get_context("spawn")
        self._pipe, far = context.Pipe()
        self._process = context.Process(target=_run, args=(far,), daemon=True)
        self._process.start()
        far.close()
        self.base_url = f"http://127.0.0.1:{self._pipe.recv()}"
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ask("stop")
        self._process.join()

    def open(self, settings: AccountSettings) -> str:
        """:return: the token of a new account."""
        token = next(self._tokens)
        self._ask("open", token, settings)
        return token

    def traffic(self, token: str) -> Traffic:
        """:return: what arrived at an account so far."""
        traffic: Traffic = self._ask("traffic", token)
        return traffic

    def health(self) -> Health:
        """:return: how the server is."""
        health: Health = self._ask("health")
        return health

    def _ask(self, *command: Any) -> Any:
        self._pipe.send(command)
        return self._pipe.recv()


class _Server:
    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._lag = 0.0

    async def serve(self, pipe: Connection) -> None:
        loop = asyncio.get_running_loop()
        stopped = asyncio.Event()
        listener = await loop.create_server(lambda: _Connection(self.accounts), "127.0.0.1", 0, backlog=1024)
        commands: dict[str, Callable[..., Any]] = {
            "open": self._open,
            "traffic": self._traffic,
            "health": self._health,
            "stop": stopped.set,
        }
        loop.add_reader(pipe.fileno(), lambda: _obey(pipe, commands))
        pipe.send(listener.sockets[0].getsockname()[1])
        while not stopped.is_set():
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self._lag = max(self._lag, loop.time() - due)
        loop.remove_reader(pipe.fileno())
        listener.close()

    def _open(self, token: str, settings: AccountSettings) -> None:
        self.accounts[token] = Account(settings)

    def _traffic(self, token: str) -> Traffic:
        return self.accounts[token].traffic

    def _health(self) -> Health:
        lag, self._lag = self._lag, 0.0
        return Health(time.process_time(), lag)


def _obey(pipe: Connection, commands: dict[str, Callable[..., Any]]) -> None:
    try:
        name, *arguments = pipe.recv()
    except EOFError:  # whoever started this process is gone
        commands["stop"]()
        return
    pipe.send(commands[name](*arguments))


class _Connection(HttpConnection):
    def __init__(self, accounts: Mapping[str, Account]) -> None:
        super().__init__()
        self._accounts = accounts

    def respond(self, method: str, target: str, head: bytes, body: bytes) -> Response | None:
        account = self._accounts[header(head, b"authorization").removeprefix("Bearer ")]
        self.latency = account.settings.latency
        return account.handle(method, target, header(head, b"user-agent"), body, time.monotonic())


def _run(pipe: Connection) -> None:
    asyncio.run(_Server().serve(pipe))
