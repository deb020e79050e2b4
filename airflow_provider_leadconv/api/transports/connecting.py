"""Finds the addresses of a host and connects to one of them, within the time of one attempt.

``getaddrinfo`` takes no timeout: with a name server that does not answer it blocks for 20 s and more. So it runs in a
daemon thread, which nothing waits for longer than it wants to, and which does not keep the process or an event loop
from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from urllib3.util.connection import allowed_gai_family

from airflow_provider_leadconv.api.transports.failures import note_no_address
from airflow_provider_leadconv.api.transports.forking import reset_in_children

Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""An entry of what ``getaddrinfo`` returns."""

_STAGGER = 0.25
"""Seconds until an event loop tries the next address, too (RFC 8305)."""


class _Connection(Protocol):
    async def aclose(self) -> None: ...


C = TypeVar("C", bound=_Connection)


class _Lookups:
    """Look-ups of addresses that are under way, at most one for each host."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Future[list[Address]]] = {}

    def start(self, host: str, port: int) -> Future[list[Address]]:
        """Return the future of a look-up, which others may wait for, too."""
        with self._lock:
            future = self._running.get((host, port))
            if future is None:
                future = Future()
                future.set_running_or_notify_cancel()  # one that gives up must not cancel it for the others
                threading.Thread(target=self._look_up, args=(host, port, future), daemon=True).start()
                self._running[host, port] = future
            return future

    def _look_up(self, host: str, port: int, future: Future[list[Address]]) -> None:
        try:
            addresses: list[Address] = list(socket.getaddrinfo(host, port, allowed_gai_family(), socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001  # raised again where the future's result is asked for
            self._forget(host, port)
            future.set_exception(error)
        else:
            self._forget(host, port)
            future.set_result(addresses)

    def _forget(self, host: str, port: int) -> None:
        with self._lock:
            self._running.pop((host, port), None)


_lookups = _Lookups()


def connect(host: str, port: int, *, timeout: float, options: Sequence[Any]) -> socket.socket:
    """Connect to a host. Each of its addresses gets its share of the time that is left.

    :param timeout: seconds for the look-up and all addresses together.
    :param options: arguments of ``setsockopt``.
    :return: the socket, whose timeout is the time that is left.
    :raises OSError: of the last address, or of the look-up.
    """
    deadline = time.monotonic() + timeout
    try:
        addresses = _lookups.start(host, port).result(timeout)
    except TimeoutError as error:
        note_no_address(error)
        raise
    failure = OSError("the host has no address") if not addresses else TimeoutError("no time was left to connect")
    for number, address in enumerate(addresses):
        share = (deadline - time.monotonic()) / (len(addresses) - number)
        if share <= 0:
            break
        try:
            sock = _connect_to(address, share, options)
        except OSError as error:
            failure = error
        else:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            return sock
    raise failure


def _connect_to(address: Address, timeout: float, options: Sequence[Any]) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        for option in options:
            sock.setsockopt(*option)
        sock.settimeout(timeout)
        sock.connect(where)
    except BaseException:
        sock.close()
        raise
    return sock


async def connect_async(host: str, port: int, connect_to: Callable[[str], Coroutine[Any, Any, C]]) -> C:
    """Connect to a host on an event loop, whose caller bounds the time.

    Unlike that of the event loop, the look-up occupies no thread of its default executor.

    :param connect_to: connects to an IP address.
    :return: what ``connect_to`` returns for the first address that answers.
    :raises OSError: of the look-up, or whatever the last address raises.
    """
    try:
        addresses = await asyncio.wrap_future(_lookups.start(host, port))
    except asyncio.CancelledError as error:
        note_no_address(error)
        raise
    attempts: list[asyncio.Task[C]] = []
    connected: asyncio.Task[C] | None = None
    try:
        for *_, address in addresses:
            attempts.append(asyncio.create_task(connect_to(address[0])))
            is_last = len(attempts) == len(addresses)
            connected = await _first_connected(attempts, None if is_last else _STAGGER)
            if connected:
                return connected.result()
    finally:
        await _give_up([attempt for attempt in attempts if attempt is not connected])
    raise (attempts and attempts[-1].exception()) or OSError("the host has no address")


async def _first_connected(attempts: Sequence[asyncio.Task[C]], seconds: float | None) -> asyncio.Task[C] | None:
    """Return the first attempt that succeeds, or ``None`` after so many seconds or if all have failed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                if connected := next((each for each in attempts if each.done() and not each.exception()), None):
                    return connected
                pending = [attempt for attempt in attempts if not attempt.done()]
                if not pending:
                    return None
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
    return None


async def _give_up(attempts: Sequence[asyncio.Task[C]]) -> None:
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if not isinstance(result, BaseException):
            await result.aclose()
