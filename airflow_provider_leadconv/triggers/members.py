"""Those for whom the shared reader reads: who waits for leads, and who reads the log on from a floor."""

from __future__ import annotations

import asyncio
import copy
from collections import deque
from collections.abc import Iterable

from airflow_provider_leadconv.api.errors import LeadConversionError
from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.failing import PERMANENT_ERRORS
from airflow_provider_leadconv.jobs.waiting import Watch

MAX_ROWS = 3000
"""Who reads the log gets so many rows at once, the oldest: memory must not grow with what there is to read."""


class LeadWait:
    """Somebody's wait for leads.

    :param lead_ids: ids of the leads.
    :param mark: the highest conversion id there was before the leads were looked up; 0 if they were not.
    :param max_failures: after how many failed requests in a row to give up; ``None``: never.
    """

    def __init__(self, lead_ids: Iterable[int], mark: int, max_failures: int | None) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when all are converted, or when waiting on makes no sense: then it raises why."""
        self.watch = Watch(lead_ids, mark=mark, completed=self._complete)
        self._max_failures = max_failures
        self._failures = 0

    def failed(self, error: LeadConversionError) -> None:
        """Note that a request failed."""
        self._failures += 1
        too_often = self._max_failures is not None and self._failures > self._max_failures
        if too_often or isinstance(error, PERMANENT_ERRORS):
            _raise_in(self.done, error)

    def answered(self) -> None:
        """Note that a request was answered."""
        self._failures = 0

    def _complete(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


class LogRead:
    """Somebody's reading of the log.

    :param floor: the rows above this id are wanted; ``None``: the newest page.
    """

    def __init__(self, floor: int | None) -> None:
        self.done: asyncio.Future[list[LeadConversion]] = asyncio.get_running_loop().create_future()
        """Done when the log was read: the oldest ``MAX_ROWS`` of the rows, newest first."""
        self.floor = floor
        self._rows: deque[LeadConversion] = deque(maxlen=MAX_ROWS)

    def take(self, rows: Iterable[LeadConversion]) -> None:
        """Take a page, in the order of the log."""
        if self.floor is None and self._rows:
            return
        lowest = self._rows[-1].id if self._rows else None
        wanted = (row for row in rows if self.floor is None or row.id > self.floor)
        self._rows.extend(row for row in wanted if lowest is None or row.id < lowest)

    def finish(self) -> None:
        """Hand the rows over."""
        if not self.done.done():
            self.done.set_result(list(self._rows))

    def failed(self, error: LeadConversionError) -> None:
        """Note that a request failed."""
        if isinstance(error, PERMANENT_ERRORS):
            _raise_in(self.done, error)


def _raise_in(future: asyncio.Future[None] | asyncio.Future[list[LeadConversion]], error: LeadConversionError) -> None:
    """Raise an error where somebody waits. Each gets a copy, as each adds its own traceback."""
    if not future.done():
        future.set_exception(copy.copy(error))
