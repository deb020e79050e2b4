"""Waiting for another run: for a bounded time, with its name in the log and the error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest

from airflow_provider_leadconv.export.lock import LockOptions, locked
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from tests.support.endpoint import Endpoint

FIX = (
    "Let one run at a time write there: set max_active_runs=1 in the DAG, and start backfills with: "
    "airflow backfill create --max-active-runs 1"
)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def held_until(endpoint: Endpoint, moment: float) -> Callable[[], AbstractContextManager[str]]:
    def lock() -> AbstractContextManager[str]:
        if endpoint.clock() < moment:
            raise ConcurrentRunError("another run is writing to /data (run 1)")
        return nullcontext("held")

    return lock


def test_a_free_lock_is_taken_without_a_wait(endpoint: Endpoint, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    started = endpoint.clock()
    with locked(held_until(endpoint, started), endpoint.client(), LockOptions()) as held:
        assert held == "held"
    assert endpoint.clock() == started
    assert caplog.messages == []


def test_a_wait_ends_when_the_other_run_does_and_logs_a_line_a_minute(
    endpoint: Endpoint, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO")
    started = endpoint.clock()
    with locked(held_until(endpoint, started + 100), endpoint.client(), LockOptions(timeout=600)):
        assert 100 <= endpoint.clock() - started < 102
    assert caplog.messages == [
        "Waiting for at most 10 min: another run is writing to /data (run 1)",
        "Waiting for at most 9 min: another run is writing to /data (run 1)",
    ]


@pytest.mark.parametrize(("timeout", "waited"), [(0.0, ""), (90.0, " and has not finished within 90 s")])
def test_after_the_timeout_the_error_names_the_other_run_and_the_fix(endpoint: Endpoint, timeout: float, waited: str):
    started = endpoint.clock()
    lock = locked(held_until(endpoint, started + 1000), endpoint.client(), LockOptions(timeout=timeout))
    with pytest.raises(ConcurrentRunError) as caught, lock:
        pytest.fail("held")
    assert str(caught.value) == f"another run is writing to /data (run 1){waited}. {FIX}"
    assert endpoint.clock() - started == pytest.approx(timeout)


def test_an_error_of_the_run_itself_is_not_retried(endpoint: Endpoint):
    with pytest.raises(ConcurrentRunError, match=r"^published$"), locked(nullcontext, endpoint.client(), LockOptions()):
        raise ConcurrentRunError("published")
