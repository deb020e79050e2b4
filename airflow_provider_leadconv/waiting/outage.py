"""The end of waiting for an API that is gone: an outage after Sell's retirement is not retried for weeks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow_provider_leadconv.api.exceptions import LeadConversionError, RetiredError

MAX_OUTAGE = 3600.0
"""Seconds of failed requests after Sell's retirement, until waiting ends."""


class Outage:
    """The time since the last request that did not fail.

    :param clock: seconds on a clock that never runs backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the outage over the requests in the ``with`` block.

        :raises RetiredError: in place of an error after Sell's retirement, if requests have failed for
            ``MAX_OUTAGE`` seconds.
        """
        try:
            yield
        except LeadConversionError as error:
            now = self._clock()
            if not error.after_retirement:
                raise
            self._since = now if self._since is None else self._since
            if now - self._since < MAX_OUTAGE:
                raise
            raise RetiredError(
                f"all requests failed for {now - self._since:.0f} s, the last one with: {error.message}",
                connection=error.connection,
            ) from error
        self._since = None
