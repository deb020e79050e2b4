"""When a request is sent again after an error: a pure function without clock, sleep and I/O.

The class of the error decides, which :mod:`~.error_mapping` chooses. :mod:`~.exchange` also sends a request again with
a renewed token after a 401. A conversion whose outcome is unknown is sent again by :mod:`~.at_most_once` only.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_leadconv.api.exceptions import InvalidResponseError, LeadConversionError, UnavailableError

FIRST_DELAY = 0.5
MAX_DELAY = 30.0
# An invalid response is rarely valid the next time, so the attempts are limited instead of the time.
MAX_INVALID_RESPONSES = 3


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
    """Return the delay before the next attempt.

    The class of the error says whether a request may be repeated: an :class:`UnavailableError` is raised only for
    requests that were not sent, were rejected without being processed, or are reads. A conversion whose outcome is
    unknown raises another class and is never repeated here.

    :param error: error of the last attempt.
    :param attempts: attempts so far, at least 1.
    :param elapsed: seconds since the first attempt was sent.
    :param timeout: maximum seconds of one attempt; the last one must be able to end within ``retry_timeout``.
    :param retry_timeout: maximum seconds of all attempts together.
    :param now: current time, for a ``Retry-After`` that is a date.
    :param jitter: random number from 0 to 1 (full jitter), so that many workers do not retry at once.
    :return: seconds to wait before the next attempt; ``None`` to give up.
    """
    if isinstance(error, InvalidResponseError):
        if attempts >= MAX_INVALID_RESPONSES:
            return None
    elif not isinstance(error, UnavailableError):
        return None
    backoff = jitter * min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(attempts, 16))
    delay = max(backoff, _retry_after_seconds(error.retry_after, now))
    return delay if elapsed + delay + timeout <= retry_timeout else None


def _retry_after_seconds(retry_after: str | None, now: datetime) -> float:
    """Return the seconds of a ``Retry-After`` header, a number or an HTTP date; 0 if it is missing or invalid."""
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
