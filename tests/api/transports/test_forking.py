"""A client that is used in a forked process: real forks, in a process of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_leadconv.sandbox import Sandbox

PROLOGUE = """
import asyncio, os, signal, sys, threading
from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exchange import Counters
from airflow_provider_leadconv.api.queries import ListQuery

config = ClientConfig(token=sys.argv[1], base_url=sys.argv[2], requests_per_second=10000, timeout=20)

def fork(work):
    if pid := os.fork():
        return pid
    status = 70
    try:
        signal.alarm(30)  # a child that hangs is killed
        status = work()
    finally:
        os._exit(status)

def ended(pid):
    return os.waitpid(pid, 0)[1]
"""

LISTINGS = """
client = LeadConversionsClient(config)
def listed(per_page):
    return [found.id for page in client.list_pages(ListQuery(per_page=per_page)) for found in page]
expected = listed(20)
assert len(expected) == 200
def wrong(per_page):
    return sum(listed(per_page) != expected for _ in range(15))
children = [fork(lambda: wrong(per_page)) for per_page in (21, 22, 23)]
print(wrong(20), [ended(child) for child in children])
"""

ASYNC = """
async def wrong(client, expected):
    result = 0
    for _ in range(5):
        result += [found.id async for page in client.list_pages(ListQuery(per_page=20)) for found in page] != expected
    return result
client = AsyncLeadConversionsClient(config)
async def first():
    return [found.id async for page in client.list_pages(ListQuery(per_page=20)) for found in page]
async def main():
    expected = await first()
    child = fork(lambda: 0)  # which closes its copies of the connections
    print(await wrong(client, expected), ended(child))
    return expected
loop = asyncio.new_event_loop()
expected = loop.run_until_complete(main())
child = fork(lambda: asyncio.new_event_loop().run_until_complete(wrong(client, expected)))
print(loop.run_until_complete(wrong(client, expected)), ended(child))
"""


def run(script: str, sandbox: Sandbox) -> str:
    command = [sys.executable, "-W", "ignore", "-c", PROLOGUE + script, sandbox.token, sandbox.base_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_parent_and_its_children_lose_no_rows_as_each_has_a_connection_of_its_own():
    with Sandbox(leads=0, conversions=200) as sandbox:
        assert run(LISTINGS, sandbox) == "0 [0, 0, 0]"
        used = {(request.query["per_page"], request.client) for request in sandbox.requests}
    assert len(used) == len({process for process, _ in used}) == len({connection for _, connection in used}) == 4


def test_an_async_client_works_on_another_loop_of_a_child():
    with Sandbox(leads=0, conversions=200) as sandbox:
        assert run(ASYNC, sandbox) == "0 0\n0 0"


STUCK_IN_THE_LIMITER = """
entered, stuck = threading.Event(), None
def clock():
    if threading.current_thread() is stuck:
        entered.set()
        threading.Event().wait()
    import time
    return time.monotonic()
client = LeadConversionsClient(config, clock=clock)
"""
STUCK_IN_THE_COUNTERS = """
entered, stuck = threading.Event(), None
class Stuck(Counters):
    def __setattr__(self, name, value):
        if threading.current_thread() is stuck:
            entered.set()
            threading.Event().wait()
        super().__setattr__(name, value)
client = LeadConversionsClient(config, counters=Stuck())
"""
FORK_MEANWHILE = """
page = lambda: client.get_page(ListQuery(per_page=20))
page()
stuck = threading.Thread(target=page, daemon=True)
stuck.start()
assert entered.wait(10)
def work():
    for _ in range(3):
        assert len(page().conversions) == 20
    client.close()
    return 0
print(ended(fork(work)))
"""


@pytest.mark.parametrize("script", [STUCK_IN_THE_LIMITER, STUCK_IN_THE_COUNTERS], ids=["rate limiter", "counters"])
def test_a_child_does_not_wait_for_a_lock_that_was_held_during_the_fork(script):
    with Sandbox(leads=0, conversions=20) as sandbox:
        assert run(script + FORK_MEANWHILE, sandbox) == "0"


BUSY = """
client = LeadConversionsClient(config)
def page():
    return client.get_page(ListQuery(per_page=20))
stop = threading.Event()
def hammer():
    while not stop.is_set():
        page()
threads = [threading.Thread(target=hammer) for _ in range(6)]
for thread in threads:
    thread.start()
def work():
    good = all(len(page().conversions) == 20 for _ in range(3))
    client.close()
    return 0 if good else 1
results = [ended(fork(work)) for _ in range(25)]
stop.set()
for thread in threads:
    thread.join()
print(set(results))
"""


def test_children_of_a_process_with_busy_threads_do_not_hang():
    with Sandbox(leads=0, conversions=20) as sandbox:
        assert run(BUSY, sandbox) == "{0}"
