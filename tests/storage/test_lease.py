"""A lease: the newest of several processes goes on, on a disk and in an object store."""

from __future__ import annotations

import logging
import os
import socket
import threading

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.lease import LEASE_SECONDS, RENEW_AFTER, Lease
from airflow_provider_leadconv.storage.local import LocalFolder
from airflow_provider_leadconv.storage.object_store import ObjectFolder
from tests.support.clock import Clock
from tests.support.storage import put


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["disk", "object store"])
def folder(request, tmp_path, monkeypatch):
    if request.param == "disk":
        return LocalFolder(tmp_path)
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return ObjectFolder(MemoryFileSystem(), "/bucket")


class CountingFolder(LocalFolder):
    """Counts readings, and lets a test act during each.

    :param during: called in the middle of a reading.
    """

    def __init__(self, path, during=lambda: None):
        super().__init__(path)
        self.readings = 0
        self.during = during

    def open(self, name):
        self.readings += 1
        file = super().open(name)
        self.during()
        return file


def acquired(folder, clock, run="run"):
    lease = Lease(folder, "r.jsonl", run=run, clock=clock)
    lease.acquire()
    return lease


def test_the_first_process_finds_no_earlier_one(folder, clock):
    lease = acquired(folder, clock)
    assert lease.earlier is None
    assert lease.takeover_wait == 0
    lease.confirm()
    lease.confirm(now=True)
    assert not lease.is_lost


def test_the_next_process_finds_the_claim_of_a_killed_one(folder, clock):
    acquired(folder, clock)
    lease = acquired(folder, clock)
    earlier = lease.earlier
    assert lease.takeover_wait == LEASE_SECONDS
    assert (earlier.run, earlier.host, earlier.process) == ("run", socket.gethostname(), os.getpid())


def test_a_released_claim_is_gone(folder, clock):
    lease = acquired(folder, clock)
    lease.release()
    lease.release()
    assert folder.names() == []
    assert acquired(folder, clock).earlier is None


def test_the_earlier_of_two_processes_stops_within_the_lease_and_takes_nothing_away(folder, clock):
    first, second = acquired(folder, clock), acquired(folder, clock)
    clock.now += LEASE_SECONDS
    for _ in range(2):
        with pytest.raises(ConcurrentRunError, match=r"run run, process \d+ on .* r\.jsonl\.claim"):
            first.confirm()
    assert first.is_lost
    first.release()
    second.confirm()
    second.release()
    assert folder.names() == []


def test_a_process_whose_successor_has_ended_stops(folder, clock):
    first, second = acquired(folder, clock), acquired(folder, clock)
    second.release()
    with pytest.raises(ConcurrentRunError, match=r"r\.jsonl\.claim was removed"):
        first.confirm(now=True)


def test_a_claim_that_is_not_released_in_time_is_left_to_the_successor(folder, clock):
    first, second = acquired(folder, clock), acquired(folder, clock)
    first.release()  # before it noticed
    second.confirm(now=True)


def test_a_damaged_claim_is_that_of_another_process(folder, clock):
    lease = acquired(folder, clock)
    put(folder, "r.jsonl.claim", b"{")
    with pytest.raises(ConcurrentRunError):
        lease.confirm(now=True)
    assert Lease(folder, "r.jsonl", run="run", clock=clock).earlier is not None


def test_the_claim_is_read_once_for_all_threads_and_at_most_twice_per_lease(tmp_path, clock):
    folder = CountingFolder(tmp_path)
    lease = acquired(folder, clock)
    folder.readings = 0
    for _ in range(1000):
        lease.confirm()
        clock.now += 0.1
    assert folder.readings <= 100 / RENEW_AFTER


@pytest.mark.parametrize(("age", "waits"), [(RENEW_AFTER, False), (LEASE_SECONDS, True)])
def test_others_go_on_during_a_reading_until_the_lease_is_over(tmp_path, clock, age, waits):
    reading, go_on = threading.Event(), threading.Event()
    folder = CountingFolder(tmp_path)
    lease = acquired(folder, clock)
    folder.during = lambda: (reading.set(), go_on.wait(10))
    clock.now += age
    reader = threading.Thread(target=lease.confirm)
    reader.start()
    assert reading.wait(10)
    other = threading.Thread(target=lease.confirm)
    other.start()
    other.join(0.2 if waits else 10)
    assert other.is_alive() is waits
    go_on.set()
    reader.join(10)
    other.join(10)
    assert not other.is_alive()


def test_the_lease_begins_before_the_reading(tmp_path, clock):
    folder = CountingFolder(tmp_path)
    first = acquired(folder, clock)
    clock.now += LEASE_SECONDS
    slow = iter([RENEW_AFTER + 1])  # the claim is read, and then the response takes its time
    folder.during = lambda: clock.sleep(next(slow, 0))
    first.confirm()
    acquired(LocalFolder(tmp_path), clock)
    with pytest.raises(ConcurrentRunError):
        first.confirm()


def test_a_claim_that_can_only_be_read_too_slowly_is_an_error(tmp_path, clock):
    folder = CountingFolder(tmp_path)
    lease = acquired(folder, clock)
    clock.now += LEASE_SECONDS
    folder.during = lambda: clock.sleep(LEASE_SECONDS)
    with pytest.raises(TimeoutError, match=r"reading r\.jsonl\.claim took longer than 10 s, 3 times"):
        lease.confirm()
    assert not lease.is_lost


def test_a_forked_process_does_not_hold_the_lease(tmp_path, clock, monkeypatch):
    lease = acquired(LocalFolder(tmp_path), clock)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert lease.is_lost
    with pytest.raises(
        ConcurrentRunError, match=r"r\.jsonl is being written by the process that this one was forked from"
    ):
        lease.confirm()
    lease.release()
    assert LocalFolder(tmp_path).names() == ["r.jsonl.claim"]


def fail():
    raise OSError("the store is gone")


def test_an_unreadable_claim_is_tolerated_until_the_lease_is_over(tmp_path, clock, caplog):
    folder = CountingFolder(tmp_path)
    lease = acquired(folder, clock)
    folder.during = fail
    clock.now += RENEW_AFTER
    with caplog.at_level(logging.WARNING):
        lease.confirm()
    assert "Could not read r.jsonl.claim; trying again: the store is gone" in caplog.text
    with pytest.raises(OSError, match="the store is gone"):
        lease.confirm(now=True)
    clock.now += LEASE_SECONDS - RENEW_AFTER
    with pytest.raises(OSError, match="the store is gone"):
        lease.confirm()
    folder.during = lambda: None
    lease.confirm()


def test_a_claim_that_cannot_be_removed_is_no_error(tmp_path, clock, caplog):
    folder = CountingFolder(tmp_path)
    lease = acquired(folder, clock)
    folder.during = fail
    lease.release()
    assert "Could not remove r.jsonl.claim: the store is gone" in caplog.text
