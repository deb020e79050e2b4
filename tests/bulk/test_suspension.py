"""A suspended process is noticed by the gap between two ticks, on any of its clocks."""

from __future__ import annotations

import time

import pytest

from airflow_provider_leadconv.bulk import suspension
from airflow_provider_leadconv.bulk.suspension import MAX_GAP, SuspensionDetector, boot_time
from tests.support.clock import Clock


@pytest.mark.parametrize("gap", [0.0, 1.0, MAX_GAP])
def test_a_short_gap_is_no_suspension(gap: float):
    clock = Clock()
    detector = SuspensionDetector(clock)
    clock.now += gap
    assert not detector.is_suspended()
    detector.tick()
    assert detector.suspensions == 0


def test_a_long_gap_is_a_suspension_until_the_next_tick():
    clock = Clock()
    detector = SuspensionDetector(clock)
    clock.now += MAX_GAP + 0.1
    assert detector.is_suspended()
    detector.tick()
    assert detector.suspensions == 1
    assert not detector.is_suspended()
    detector.tick()
    assert detector.suspensions == 1


def test_a_gap_that_only_one_clock_shows_is_a_suspension():
    monotonic, boot = Clock(), Clock()
    detector = SuspensionDetector(monotonic, boot)
    boot.now += 3600
    assert detector.is_suspended()


def test_a_busy_caller_is_no_suspension(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(suspension, "MAX_GAP", 0.5)
    monkeypatch.setattr(suspension, "TICK_INTERVAL", 0.05)
    detector = SuspensionDetector.ticking()
    time.sleep(0.8)
    assert not detector.is_suspended()
    assert detector.suspensions == 0
    detector.close()
    time.sleep(0.8)
    assert detector.is_suspended()


def test_the_clock_that_counts_sleep_runs():
    assert boot_time() <= boot_time()
