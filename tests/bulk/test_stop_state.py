"""A run that stops keeps the first reason."""

from __future__ import annotations

from airflow_provider_leadconv.api.exceptions import UnavailableError
from airflow_provider_leadconv.bulk.stop_state import StopState


def test_a_run_that_is_stopped_by_its_caller_has_no_error():
    state = StopState()
    assert not state.is_stopping
    state.stop()
    assert (state.is_stopping, state.error) == (True, None)


def test_the_first_error_is_kept():
    state, first = StopState(), UnavailableError("first")
    for error in (None, first, UnavailableError("second"), None):
        state.stop(error)
    assert state.error is first
