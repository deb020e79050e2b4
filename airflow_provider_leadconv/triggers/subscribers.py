"""Subscribers of the shared reader: waits for leads, and reads of the new rows of the changefeed."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter, deque
from collections.abc import Iterable

from airflow_provider_leadconv.api.exceptions import PERMANENT_ERRORS, LeadConversionError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.changefeed import OverlapWindow
from airflow_provider_leadconv.waiting.registry import AwaitedLeads

MAX_ROWS = 3000
"""Maximum number of rows that a read returns, the oldest ones, so that memory is bounded."""


class LeadWait:
    """A subscriber that waits until leads are converted.

    :param lead_ids: ids of the leads.
    :param start_watermark: the highest conversion id before the leads were looked up; 0 if they were not looked up.
    :param max_failures: number of requests in a row that may fail; ``None``: no limit.
    """

    def __init__(self, lead_ids: Iterable[int], start_watermark: int, max_failures: int | None) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when all leads are converted, or with an error that waiting cannot resolve."""
        self.leads = AwaitedLeads(lead_ids, start_watermark=start_watermark, completed=self._complete)
        self.last_error: LeadConversionError | None = None
        """The error of the last request; ``None`` if it succeeded."""
        self._max_failures = max_failures
        self._failures = 0
        self._look_up_failures: Counter[int] = Counter()

    def failed(self, error: LeadConversionError) -> None:
        """Count a failed request."""
        self.last_error = error
        self._failures += 1
        too_many = self._max_failures is not None and self._failures > self._max_failures
        if too_many or isinstance(error, PERMANENT_ERRORS):
            _raise_in(self.done, error)

    def succeeded(self) -> None:
        """Reset the count of failed requests."""
        self.last_error = None
        self._failures = 0

    def look_up_failed(self, lead_id: int, error: LeadConversionError) -> None:
        """Count a failed look-up, if its lead is one of the leads."""
        if lead_id not in self.leads.lead_ids:
            return
        self._look_up_failures[lead_id] += 1
        too_many = self._max_failures is not None and self._look_up_failures[lead_id] > self._max_failures
        if too_many or isinstance(error, PERMANENT_ERRORS):
            _raise_in(self.done, error)

    def look_up_succeeded(self, lead_id: int) -> None:
        """Reset the count of failed look-ups of a lead."""
        self._look_up_failures.pop(lead_id, None)

    def _complete(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class ChangefeedRead:
    """A subscriber that reads the new rows of the changefeed once.

    :param window: the rows above its low watermark that it does not have are read; ``None``: the newest page.
    """

    def __init__(self, window: OverlapWindow | None) -> None:
        self.done: asyncio.Future[list[LeadConversion]] = asyncio.get_running_loop().create_future()
        """The rows, newest first; the oldest ``MAX_ROWS`` if there are more."""
        self.low_watermark = None if window is None else window.low_watermark
        self._taken = frozenset(() if window is None else window.ids)
        self._rows: deque[LeadConversion] = deque(maxlen=MAX_ROWS)

    def take(self, rows: Iterable[LeadConversion]) -> None:
        """Add a page. Pages must come in the order of the changefeed."""
        if self.low_watermark is None and self._rows:
            return
        lowest = self._rows[-1].id if self._rows else None
        above = (row for row in rows if self.low_watermark is None or row.id > self.low_watermark)
        new = (row for row in above if row.id not in self._taken)
        self._rows.extend(row for row in new if lowest is None or row.id < lowest)

    def finish(self) -> None:
        """Complete the read."""
        if not self.done.done():
            self.done.set_result(list(self._rows))

    def failed(self, error: LeadConversionError) -> None:
        """End the read if the error is permanent."""
        if isinstance(error, PERMANENT_ERRORS):
            _raise_in(self.done, error)


def _raise_in(future: asyncio.Future[None] | asyncio.Future[list[LeadConversion]], error: LeadConversionError) -> None:
    """Raise an error in the task that awaits a future."""
    if not future.done():
        future.set_exception(copy.copy(error))  # a copy, since each task adds its own traceback
