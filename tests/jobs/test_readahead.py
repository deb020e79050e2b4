from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_leadconv.jobs.readahead import read_ahead


def ahead(items, while_waiting=lambda: None):
    return read_ahead(items, while_waiting=while_waiting, interval=0.01)


def test_all_items_in_order():
    assert list(ahead(iter(range(1000)))) == list(range(1000))


def test_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ZeroDivisionError

    taken = []
    with pytest.raises(ZeroDivisionError):
        taken.extend(ahead(items()))
    reader = ahead(items())
    assert next(reader) == 1
    with pytest.raises(ZeroDivisionError):
        next(reader)


def test_next_item_is_read_meanwhile_and_not_many():
    read = []

    def items():
        for number in range(100):
            read.append(number)
            yield number

    reader = ahead(items())
    next(reader)
    deadline = time.monotonic() + 5
    while len(read) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    assert 2 <= len(read) <= 3


def test_waiting_is_told():
    told = threading.Event()

    def items():
        assert told.wait(5)
        yield 1

    assert list(ahead(items(), told.set)) == [1]


def test_thread_ends_with_its_reader():
    before = threading.active_count()
    reader = ahead(iter(range(100)))
    next(reader)
    reader.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    assert threading.active_count() == before
