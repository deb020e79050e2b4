"""Who shares a limiter: in one process, and between real processes over sockets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from uuid import uuid4
from weakref import ref

import pytest

from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.rate_limiting import scope
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.api.rate_limiting.locked_file import LockedFile
from airflow_provider_leadconv.api.rate_limiting.private_folder import state_folder
from airflow_provider_leadconv.api.rate_limiting.scope import limiter_of, state_name
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.clock import Clock

TOKEN = Secret("a-secret-token")
URL = "https://api.example"


def limiter(token: Secret = TOKEN, clock=time.monotonic, **settings):
    return limiter_of(ClientConfig(token=token, **{"base_url": URL, **settings}), token, clock)


def files() -> list[Path]:
    return list(state_folder().iterdir()) if state_folder().exists() else []


@pytest.mark.parametrize(
    "same",
    [
        "https://API.example",
        "https://api.example:443",
        "https://api.example/sell",
        "https://api.example/",
        "https://api.example.",
        "HTTPS://api.example.:443/",
    ],
)
def test_the_same_host_and_token_have_the_same_name(same: str):
    assert state_name(same, TOKEN) == state_name(URL, TOKEN)


@pytest.mark.parametrize("other", ["http://api.example", "https://api.example:444", "https://other.example"])
def test_another_host_has_another_name(other: str):
    assert state_name(other, TOKEN) != state_name(URL, TOKEN)


def test_the_name_does_not_reveal_the_token_and_another_token_has_another_one():
    name = state_name(URL, TOKEN)
    assert len(name) == len(bytes.fromhex(name)) * 2 == 32
    assert state_name(URL, Secret("another")) != name


def test_after_a_boot_the_name_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = state_name(URL, TOKEN)
    (tmp_path / "boot_id").write_text("another boot\n")
    monkeypatch.setattr(scope, "_BOOT_ID", tmp_path / "boot_id")
    assert state_name(URL, TOKEN) != before


def test_clients_of_a_process_share_a_limiter():
    first = limiter()
    assert limiter() is first
    assert limiter(Secret("another")) is not first
    assert limiter(requests_per_second=5.0) is not first


def test_the_state_is_in_one_private_file_for_each_token():
    limiters = [limiter(), limiter(requests_per_second=5.0), limiter(Secret("another"))]
    for each in limiters:
        each.acquire()
    assert {path.name for path in files()} == {state_name(URL, token) for token in (TOKEN, Secret("another"))}
    assert {path.stat().st_mode & 0o777 for path in files()} == {0o600}
    assert state_folder().stat().st_mode & 0o777 == 0o700


def test_threads_that_make_clients_at_once_share_a_limiter(monkeypatch: pytest.MonkeyPatch):
    class SlowLimiter(AdaptiveRateLimiter):
        def __init__(self, *args, **options):
            time.sleep(0.1)
            super().__init__(*args, **options)

    monkeypatch.setattr(scope, "AdaptiveRateLimiter", SlowLimiter)
    with ThreadPoolExecutor(4) as pool:
        limiters = list(pool.map(lambda _: limiter(), range(4)))
    assert len(set(map(id, limiters))) == 1


def test_the_scope_process_shares_with_this_process_only():
    token = Secret(uuid4().hex)
    one = limiter(token, rate_limit_scope="process")
    assert limiter(token, rate_limit_scope="process") is one
    assert limiter(token) is not one
    assert limiter(Secret(uuid4().hex), rate_limit_scope="process") is not one
    assert limiter(token, rate_limit_scope="process", base_url="https://other.example") is not one
    assert one.acquire() == 0.0
    assert files() == []


@pytest.mark.parametrize("reason", ["scope", "folder"])
def test_a_process_that_makes_a_client_for_each_request_does_not_begin_anew(
    reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LEADCONV_STATE_DIR", str(tmp_path / "no" / "folder"))
    token, settings = Secret(uuid4().hex), {"rate_limit_scope": "process"} if reason == "scope" else {}
    assert [limiter(token, **settings).acquire() > 0.0 for _ in range(3)] == [False, True, True]


def test_limiters_of_many_tokens_are_not_kept_for_ever():
    kept = [ref(limiter(Secret(f"{uuid4().hex}"))) for _ in range(100)]
    assert 0 < sum(each() is not None for each in kept) < 100


def test_a_simulated_clock_shares_nothing():
    assert limiter(clock=Clock()).acquire() == 0.0
    assert files() == []


@pytest.mark.parametrize("missing", ["_BOOT_ID", "folder"])
def test_where_nothing_can_be_shared_there_is_one_warning(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    if missing == "folder":
        monkeypatch.setenv("LEADCONV_STATE_DIR", str(tmp_path / "no" / "folder"))
    else:
        monkeypatch.setattr(scope, missing, tmp_path / "missing")
    token = Secret(uuid4().hex)
    assert [limiter(token).acquire() > 0.0 for _ in range(2)] == [False, True]
    (record,) = caplog.records
    assert str(tmp_path) in record.getMessage()


def test_a_renewed_token_has_its_own_limiter(sandbox: Sandbox):
    config = ClientConfig(token="revoked", base_url=sandbox.base_url)
    with LeadConversionsClient(config, renew_token=lambda: sandbox.token) as client:
        client.get_page(ListQuery(per_page=1))
    names = {state_name(sandbox.base_url, Secret(token)) for token in ("revoked", sandbox.token)}
    assert {path.name for path in files()} == names


# Real processes

WORKER = """
import json, os, sys, time
from concurrent.futures import ThreadPoolExecutor
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.queries import ListQuery

base_url, token, threads, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
config = ClientConfig(token=token, base_url=base_url, timeout=20)
print("ready", flush=True)
sys.stdin.readline()
until = time.monotonic() + seconds
with LeadConversionsClient(config, user_agent=f"worker {os.getpid()}") as client:
    def work(_):
        while time.monotonic() < until:
            client.get_page(ListQuery(per_page=1))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
"""


@contextmanager
def workers(sandbox: Sandbox, *threads: int, seconds: float) -> Iterator[list[subprocess.Popen]]:
    """Processes that send as many requests as they may, and end by themselves."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, sandbox.base_url, sandbox.token, str(count), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for count in threads
    ]
    try:
        for process in started:
            assert process.stdout.readline() == b"ready\n"
        for process in started:
            process.stdin.write(b"go\n")
            process.stdin.flush()
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def learned(sandbox: Sandbox) -> None:
    """Have the host know that 10 requests a second are allowed."""
    config = ClientConfig(token=sandbox.token, base_url=sandbox.base_url)
    known = limiter_of(config, Secret.wrap(config.token), time.monotonic)
    known._state.update(time.monotonic(), lambda rate: setattr(rate, "rate", 10.0))


def test_processes_share_the_rate_whatever_their_threads():
    with Sandbox(leads=0, conversions=1) as sandbox:
        learned(sandbox)
        with workers(sandbox, 1, 8, 8, seconds=6) as started:
            for process in started:
                process.wait(60)
        requests = sandbox.requests
    times = [request.time for request in requests]
    assert (len(times) - 2) / (times[-1] - times[0]) <= 10.5
    by_process = [
        sum(f"worker {process.pid}" in request.headers["user-agent"] for request in requests) for process in started
    ]
    assert min(by_process) >= 0.5 * max(by_process)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_others_go_on_when_a_process_is_killed_or_stopped(number: signal.Signals):
    with Sandbox(leads=0, conversions=1) as sandbox:
        learned(sandbox)
        with workers(sandbox, 8, 8, seconds=6) as started:
            first, other = started
            time.sleep(2)
            first.send_signal(number)
            stopped_at = time.monotonic()
            other.wait(60)
        mine = f"worker {other.pid}"
        times = [request.time for request in sandbox.requests if mine in request.headers["user-agent"]]
    later = [time for time in times if time > stopped_at]
    assert later[0] - stopped_at <= 1.5
    assert max(b - a for a, b in pairwise(later)) <= 1.5


def test_a_process_that_is_stopped_with_the_lock_delays_others_for_less_than_a_second(sandbox: Sandbox):
    config = ClientConfig(token=sandbox.token, base_url=sandbox.base_url)
    learned(sandbox)
    name = state_name(sandbox.base_url, Secret.wrap(sandbox.token))
    pid = os.fork()
    if pid == 0:
        LockedFile(state_folder(), name).lock(0.0)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitpid(pid, os.WUNTRACED)
    try:
        with LeadConversionsClient(config) as client:
            for _ in range(2):
                started = time.monotonic()
                client.get_page(ListQuery(per_page=1))
                assert time.monotonic() - started < 3.0
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_an_event_loop_is_not_blocked_while_a_process_is_stopped_with_the_lock(sandbox: Sandbox):
    config = ClientConfig(token=sandbox.token, base_url=sandbox.base_url)
    learned(sandbox)
    held = LockedFile(state_folder(), state_name(sandbox.base_url, Secret.wrap(sandbox.token)))

    async def ask() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        async with AsyncLeadConversionsClient(config) as client:
            await client.get_page(ListQuery(per_page=1))
            counting = asyncio.create_task(count())
            held.lock(0.0)
            await client.get_page(ListQuery(per_page=1))
            held.unlock()
            counting.cancel()
        return turns

    assert asyncio.run(ask()) >= 10


FORK = """
import json, os, sys, time
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.rate_limiting.scope import limiter_of

config = ClientConfig(token="token", base_url="https://api.example", requests_per_second=1.0)
limiter = limiter_of(config, config.token, time.monotonic)
first, second = limiter.acquire("me"), limiter.acquire("me")
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, str(limiter.acquire("me")).encode())
    os._exit(0)
os.wait()
print(json.dumps([first, second, float(os.read(reader, 100))]))
"""


def test_a_forked_process_reserves_permits_of_its_own():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, check=True, text=True)
    first, second, of_child = json.loads(done.stdout)
    assert first == 0.0
    assert second <= 1.0
    assert second + 0.2 < of_child <= 2.0
