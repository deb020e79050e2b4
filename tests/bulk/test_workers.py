from __future__ import annotations

import os
import signal
import threading
from time import monotonic

import pytest

from airflow_provider_leadconv.bulk.workers import Workers
from airflow_provider_leadconv.storage.base import ConcurrentRunError


@pytest.fixture
def workers():
    workers = Workers(2)
    yield workers
    workers.close()


def test_each_task_ends_once(workers):
    futures = {workers.submit(lambda number=number: number**2): number for number in range(50)}
    for _ in range(50):
        future = workers.next_completed(10)
        assert future.result() == futures.pop(future) ** 2
    assert workers.next_completed(0) is None


def test_so_many_tasks_at_once(workers):
    barrier = threading.Barrier(2)
    for _ in range(4):
        workers.submit(lambda: barrier.wait(10))
    assert sorted(workers.next_completed(10).result() for _ in range(4)) == [0, 0, 1, 1]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_is_the_tasks_own(workers, error):
    def fail():
        raise error

    workers.submit(fail)
    with pytest.raises(type(error)):
        workers.next_completed(10).result()
    workers.submit(lambda: 7)
    assert workers.next_completed(10).result() == 7


def test_a_wait_ends_when_it_is_woken(workers):
    threading.Timer(0.05, workers.wake).start()
    assert workers.next_completed(60) is None


def test_a_wait_ends_when_a_signal_handler_wakes_it(workers):
    # As on_kill does: the handler runs in the thread that waits.
    earlier = signal.signal(signal.SIGALRM, lambda *_: workers.wake())
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    started = monotonic()
    try:
        assert workers.next_completed(30) is None
    finally:
        signal.signal(signal.SIGALRM, earlier)
    assert monotonic() - started < 20


def test_a_forked_process_does_not_wait_for_threads_that_it_does_not_have(workers, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with pytest.raises(ConcurrentRunError, match="was forked from one that converts leads"):
        workers.next_completed(60)


def test_threads_end_after_close():
    before = set(threading.enumerate())
    workers = Workers(4)
    workers.submit(lambda: None)
    workers.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before
