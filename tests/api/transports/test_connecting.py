"""Name servers that hang and addresses that do not answer: within the time of one attempt, through both transports."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import UnavailableError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.transports.connecting import connect, connect_async
from tests.support.servers import Server, config, http_response, says
from tests.support.transports import TRANSPORTS

HANGS = 5.0
NO_ADDRESS = "cannot resolve the host name: the name server does not respond"
HOSTS = (f"host-{number}.invalid" for number in count())
BLACK_HOLE = "127.0.0.3"
REFUSING = "127.0.0.4"
ANSWERING = "127.0.0.5"


@pytest.fixture
def host() -> str:
    """A host that no other test looks up, maybe still."""
    return next(HOSTS)


@pytest.fixture
def hanging_name_server(monkeypatch):
    """:return: the hosts that were asked for."""
    asked = []
    done = threading.Event()

    def getaddrinfo(host, *rest, **named):
        asked.append(host)
        done.wait(HANGS)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield asked
    done.set()


def found(port: int, *addresses: str):
    """:return: a ``getaddrinfo`` that finds these addresses."""
    entries = [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, port)) for each in addresses]
    return lambda host, *rest, **named: entries


@contextlib.contextmanager
def black_hole(port: int = 0) -> Iterator[int]:
    """A port of the black hole, which takes no connection and refuses none."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind((BLACK_HOLE, port))
        full.listen(0)
        for _ in range(2):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < seconds


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_name_server_that_hangs_takes_no_longer_than_the_timeout(send, hanging_name_server, host):
    with at_most(2.0):  # and nor does the end of the event loop
        came = send(config(f"https://{host}", timeout=0.5))
    assert (came.sent, came.reason) == (False, f"no connection to https://{host}: {NO_ADDRESS}")


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_look_up_that_hangs_is_no_problem_of_another_host(send, hanging_name_server, monkeypatch, host):
    send(config(f"https://{host}", timeout=0.2))
    with Server(says(http_response(b"other"))) as server:
        monkeypatch.setattr(socket, "getaddrinfo", found(server.port, "127.0.0.1"))
        assert send(config(f"http://other.invalid:{server.port}", allow_http=True)).body == b"other"


def test_a_conversion_whose_host_has_no_address_was_not_sent(hanging_name_server, host):
    settings = config(f"https://{host}", timeout=0.5, retry_timeout=2.0)
    with LeadConversionsClient(settings) as client, at_most(3.0), pytest.raises(UnavailableError, match=NO_ADDRESS):
        client.post(ConversionRequest(5))


def test_threads_wait_for_one_look_up(hanging_name_server, host):
    def attempt():
        with contextlib.suppress(TimeoutError):
            connect(host, 443, timeout=0.5, options=())

    threads = [threading.Thread(target=attempt) for _ in range(20)]
    with at_most(2.0):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert hanging_name_server == [host]


class Connection:
    closed = False

    async def aclose(self) -> None:
        self.closed = True


def test_one_that_gives_up_leaves_the_look_up_to_the_others(monkeypatch, host):
    answer = threading.Event()
    connection = Connection()

    def getaddrinfo(host, *rest, **named):
        answer.wait(HANGS)
        return found(443, "127.0.0.1")(host)

    async def connected(address: str) -> Connection:
        return connection

    async def both() -> Connection:
        waiting = asyncio.create_task(connect_async(host, 443, connected))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(connect_async(host, 443, connected), 0.1)
        answer.set()
        return await waiting

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert asyncio.run(both()) is connection
    assert not connection.closed


def test_of_two_addresses_that_answer_at_once_one_is_closed_again(monkeypatch, host):
    connections = []

    async def slow(address: str) -> Connection:
        await asyncio.sleep(0.3 if address == "127.0.0.1" else 0.05)
        connections.append(Connection())
        return connections[-1]

    monkeypatch.setattr(socket, "getaddrinfo", found(443, "127.0.0.1", "127.0.0.2"))
    result = asyncio.run(connect_async(host, 443, slow))
    assert not result.closed
    assert all(each.closed for each in connections if each is not result)


@pytest.mark.parametrize("addresses", [[], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"]])
def test_no_address_that_answers_is_an_error(addresses, monkeypatch, host):
    async def refused(address: str) -> Connection:
        raise ConnectionRefusedError(address)

    monkeypatch.setattr(socket, "getaddrinfo", found(443, *addresses))
    with pytest.raises(OSError, match=addresses[-1] if addresses else "no address"):
        asyncio.run(connect_async(host, 443, refused))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **named: [])
    with pytest.raises(OSError, match="no address"):
        connect(host, 443, timeout=1.0, options=())


def test_a_forked_process_looks_up_on_its_own(hanging_name_server, monkeypatch, host):
    with pytest.raises(TimeoutError):
        connect(host, 443, timeout=0.1, options=())
    with Server(says(http_response())) as server:
        monkeypatch.setattr(socket, "getaddrinfo", found(server.port, "127.0.0.1"))
        child = os.fork()
        if not child:
            status = 1
            try:
                connect(host, 443, timeout=2.0, options=()).close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_addresses_that_do_not_answer_share_the_timeout(send, monkeypatch, host):
    with black_hole() as port, at_most(1.5):
        monkeypatch.setattr(socket, "getaddrinfo", found(port, *[BLACK_HOLE] * 6))
        came = send(config(f"https://{host}:{port}", timeout=0.5))
    assert (came.sent, came.reason) == (False, f"no connection to https://{host}:{port}: timed out")


def test_addresses_that_do_not_answer_keep_within_the_retry_timeout(monkeypatch, host):
    with black_hole() as port, at_most(2.5):
        monkeypatch.setattr(socket, "getaddrinfo", found(port, *[BLACK_HOLE] * 6))
        settings = config(f"https://{host}:{port}", timeout=0.5, retry_timeout=2.0)
        with LeadConversionsClient(settings) as client, pytest.raises(UnavailableError, match="timed out"):
            client.get_page(ListQuery())


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
@pytest.mark.parametrize("before", [[BLACK_HOLE] * 3, [REFUSING] * 3, [REFUSING, BLACK_HOLE]])
def test_an_address_that_answers_is_reached_behind_others_that_do_not(send, before, monkeypatch, host):
    with Server(says(http_response(b"{}")), address=ANSWERING) as server, black_hole(server.port):
        monkeypatch.setattr(socket, "getaddrinfo", found(server.port, *before, ANSWERING))
        came = send(config(f"http://{host}:{server.port}", allow_http=True, timeout=4.0))
        assert came.status_code == 200
        assert server.connections == 1


def test_an_address_of_a_family_that_the_system_does_not_have_is_passed_over(monkeypatch, host):
    with Server(says(http_response())) as server:
        (good,) = found(server.port, "127.0.0.1")(host)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *rest, **named: [(99, *good[1:]), good])
        connect(host, server.port, timeout=2.0, options=()).close()


def test_what_follows_the_connection_gets_all_that_is_left_of_the_timeout(monkeypatch, host):
    with Server(says(http_response())) as server:
        monkeypatch.setattr(socket, "getaddrinfo", found(server.port, *["127.0.0.1"] * 4))
        with connect(host, server.port, timeout=2.0, options=()) as sock:
            assert 1.5 < sock.gettimeout() <= 2.0


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_slow_handshake_gets_what_is_left_of_the_timeout(send, monkeypatch, host):
    with black_hole() as port, socket.create_server(("127.0.0.1", port)), at_most(1.5):
        monkeypatch.setattr(socket, "getaddrinfo", found(port, BLACK_HOLE, "127.0.0.1"))
        came = send(config(f"https://{host}:{port}", timeout=0.6))
    assert (came.sent, came.reason) == (False, f"no connection to https://{host}:{port}: timed out")
