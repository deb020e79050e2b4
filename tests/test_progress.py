"""Progress lines: at most one in an interval, and none that is not due."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_leadconv.progress import INTERVAL, ProgressLog, duration, share_done
from tests.support.clock import Clock

log = logging.getLogger("tests.progress")


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


def test_a_line_is_logged_once_an_interval(clock: Clock, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    progress = ProgressLog(log, clock)
    for _ in range(100):
        clock.sleep(1)
        progress.emit(lambda: f"at {clock.now:.0f}")
    assert caplog.messages == [f"at {1000 + 14 * number}" for number in range(1, 8)]


def test_a_line_that_is_not_due_is_not_made(clock: Clock):
    progress = ProgressLog(log, clock)
    clock.sleep(INTERVAL - 0.1)
    progress.emit(lambda: pytest.fail("made"))


def test_due_in_and_elapsed_follow_the_clock(clock: Clock):
    progress = ProgressLog(log, clock)
    assert (progress.elapsed, progress.due_in) == (0.0, INTERVAL)
    clock.sleep(4)
    assert (progress.elapsed, progress.due_in) == (4.0, INTERVAL - 4)
    clock.sleep(100)
    assert (progress.elapsed, progress.due_in) == (104.0, 0.0)
    progress.emit(lambda: "line")
    assert progress.due_in == INTERVAL


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.4, "0 s"),
        (89, "89 s"),
        (90, "2 min"),
        (3599, "1 h 0 min"),
        (3900, "1 h 5 min"),
        (47 * 3600, "47 h 0 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("done", "per_second", "text"),
    [(0, 0, "0 %"), (25, 1.25, "25 %, 60 s left"), (99.9, 0.01, "99 %, 10 s left"), (100, 7, "100 %, 0 s left")],
)
def test_a_progress_line_begins_with_percent_and_time_left(done: float, per_second: float, text: str):
    assert share_done(done, 100, per_second) == text


def test_more_than_an_estimated_total_counts_as_all():
    assert share_done(150, 100, 7) == "100 %, 0 s left"


def test_nothing_of_nothing_is_all():
    assert share_done(0, 0) == "100 %"
