"""May a request be repeated, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api import exceptions
from airflow_provider_leadconv.api.retry import MAX_DELAY, MAX_INVALID_RESPONSES, retry_delay

NOW = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)


def delay(error, *, attempts=1, elapsed=0.0, jitter=1.0, timeout=30.0, retry_timeout=300.0):
    return retry_delay(
        error,
        attempts=attempts,
        elapsed=elapsed,
        timeout=timeout,
        retry_timeout=retry_timeout,
        now=NOW,
        jitter=jitter,
    )


def throttled(retry_after=None):
    return exceptions.RateLimitedError("429", retry_after=retry_after)


@pytest.mark.parametrize(
    ("kind", "repeated"),
    [
        (exceptions.UnavailableError, True),
        (exceptions.RateLimitedError, True),
        (exceptions.InvalidResponseError, True),
        (exceptions.UnknownOutcomeError, False),
        (exceptions.ConnectionConfigError, False),
        (exceptions.AuthenticationError, False),
        (exceptions.PermissionDeniedError, False),
        (exceptions.InvalidRequestError, False),
        (exceptions.LeadConversionError, False),
    ],
)
def test_only_transient_errors_are_retried(kind, repeated):
    assert (delay(kind("x")) is not None) is repeated


def test_a_response_without_sense_is_asked_for_again_only_a_few_times():
    error = exceptions.InvalidResponseError("x")
    responses = [delay(error, attempts=attempts) is not None for attempts in range(1, MAX_INVALID_RESPONSES + 1)]
    assert responses == [True] * (MAX_INVALID_RESPONSES - 1) + [False]


def test_the_back_off_doubles_up_to_its_maximum():
    delays = [delay(throttled(), attempts=attempts) for attempts in range(1, 10)]
    assert delays == [1, 2, 4, 8, 16, MAX_DELAY, MAX_DELAY, MAX_DELAY, MAX_DELAY]


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_the_jitter_is_full(jitter, attempts):
    assert 0 <= delay(throttled(), attempts=attempts, jitter=jitter) <= jitter * MAX_DELAY


@given(st.floats(0, 400), st.integers(1, 50), st.floats(0, 1), st.none() | st.floats(0, 400).map(str))
def test_the_last_attempt_can_end_within_the_retry_timeout(elapsed, attempts, jitter, retry_after):
    wait = delay(throttled(retry_after), elapsed=elapsed, attempts=attempts, jitter=jitter)
    assert wait is None or elapsed + wait + 30 <= 300


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("0.5", 0.5),
        (" 7 ", 7),
        (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9),
        ("Mon, 23 Nov 2026 01:02:13", 10),
        ("Mon, 23 Nov 2026 02:02:13 +0100", 10),
    ],
)
def test_retry_after_is_honoured(retry_after, seconds):
    assert delay(throttled(retry_after), jitter=0.0) == seconds


@pytest.mark.parametrize(
    "retry_after",
    [
        *("", "soon", "nan", "-5", "0", "Sun, 22 Nov 2026 01:02:03 GMT", "Mon, 99 Nov 2026"),
        *("Mon, 01 Jan 99999999999 00:00:00 GMT", "Mon, 01 Jan 2020 00:00:00 +9999999999999999999"),
    ],
)
def test_a_retry_after_that_is_nonsense_or_over_leaves_the_back_off_as_it_is(retry_after):
    assert delay(throttled(retry_after), attempts=3) == 4


@pytest.mark.parametrize("retry_after", ["271", "3600", "inf", "1e400", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_retry_after_beyond_the_retry_timeout_gives_up_at_once(retry_after):
    assert delay(throttled(retry_after)) is None


@given(st.text())
def test_no_retry_after_whatever_breaks_the_rule(retry_after):
    wait = delay(throttled(retry_after))
    assert wait is None or 0 <= wait <= 270
