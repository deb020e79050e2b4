"""May a request be repeated, and when. A pure rule: no clock, no sleep, no I/O of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_leadconv.api.errors import InvalidResponseError, LeadConversionError, UnavailableError

FIRST_DELAY = 0.5
MAX_DELAY = 30.0
# An answer that makes no sense rarely makes more of it later: this many attempts, not retry_timeout, bound it.
MAX_SENSELESS_ANSWERS = 3


def retry_delay(
    error: LeadConversionError,
    *,
    attempts: int,
    elapsed: float,
    timeout: float,
    retry_timeout: float,
    now: datetime,
    jitter: float,
) -> float | None:
    """Decide on one more attempt.

    What may be repeated shows in the error's class: an :class:`UnavailableError` is only made of requests that were
    not sent, were refused unseen, or are reads. A conversion whose outcome is unknown is none, so it never repeats.

    :param error: what became of the last attempt.
    :param attempts: attempts so far, at least 1.
    :param elapsed: seconds since the first attempt was sent.
    :param timeout: seconds one attempt may take; the last one must be able to end within ``retry_timeout``.
    :param retry_timeout: seconds all attempts may take together.
    :param now: the time of day, for a ``Retry-After`` that names one.
    :param jitter: random number from 0 to 1, so that many workers do not come back at once (full jitter).
    :return: seconds to wait before the next attempt; ``None`` to give up.
    """
    if isinstance(error, InvalidResponseError):
        if attempts >= MAX_SENSELESS_ANSWERS:
            return None
    elif not isinstance(error, UnavailableError):
        return None
    backoff = jitter * min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(attempts, 16))
    delay = max(backoff, _asked_for(error.retry_after, now))
    return delay if elapsed + delay + timeout <= retry_timeout else None


def _asked_for(retry_after: str | None, now: datetime) -> float:
    """Seconds of a ``Retry-After`` header, which is a number or an HTTP date; 0 if there is none, or nonsense."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return 0.0
        seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return seconds if seconds > 0 else 0.0  # NaN is not above 0 either
