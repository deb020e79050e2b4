"""The listing read as a log: what is new since the last time, ids that became visible late included.

Conversions are listed newest first. A reader remembers the highest id it took, its *mark*, and because an id may become
visible after a higher one, also which ids it took from a *window* below the mark. It reads from the newest conversion
down to the window's floor and takes what it did not take before. Marks are ids, never times: ``created_at`` does not
rise with the id, in the vendor's own example.

No I/O in here: pages are handed in, so every kind of client reads alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from airflow_provider_leadconv.api.records import LeadConversion

WINDOW_ROWS = 200
"""The window has at least so many rows below the mark: one page, so reading it again is one request."""

WINDOW_TIME = timedelta(minutes=15)
"""The window has every row created so shortly before the mark's row, or later."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader remembers of the head of the log. JSON-serialisable.

    :param mark: highest id taken; 0 before the first.
    :param floor: nothing at or below this id is read again; 0 while the log is shorter than a window.
    :param ids: the ids taken that are above the floor, ascending.
    """

    mark: int = 0
    floor: int = 0
    ids: tuple[int, ...] = ()


class LogReader:
    """One walk from the newest conversion down to the floor of the last walk's window.

    :param window: what the last walk left; the default takes the whole log.
    :param window_rows: the window it leaves has at least so many rows below the mark.
    :param window_time: and every row created so shortly before the mark's row, or later; ``None``: only those.
    """

    def __init__(
        self,
        window: Window | None = None,
        *,
        window_rows: int = WINDOW_ROWS,
        window_time: timedelta | None = WINDOW_TIME,
    ) -> None:
        self._last = window or Window()
        self._least_rows = window_rows
        self._window_time = window_time
        self._taken = frozenset(self._last.ids)
        self._mark = 0
        self._newest_time: datetime | None = None
        self._read: list[int] = []
        self._window_rows = 0
        self.finished = False
        """Whether the walk met the floor, so that nothing older can be new."""

    def take(self, rows: Sequence[LeadConversion]) -> list[LeadConversion]:
        """Take the next rows of the walk, newest first.

        :return: those not taken by an earlier walk.
        """
        floor, taken = self._last.floor, self._taken
        above = [row for row in rows if row.id > floor]
        self.finished = self.finished or len(above) < len(rows)
        for row in above:
            if self.is_settled:
                break  # a page's worth of older rows: the window ends above them
            self._remember(row)
        return [row for row in above if row.id not in taken]

    @property
    def is_settled(self) -> bool:
        """Whether the walk is so far below its window that :meth:`window` will not change any more."""
        return len(self._read) > self._window_rows + self._least_rows

    def window(self) -> Window:
        """What the next walk has to know. True only after a whole walk: :attr:`finished`, or the listing ended.

        Until then nothing may be remembered: the log is read newest first, and what lies between this walk's lowest
        row and the last mark would be lost.
        """
        if not self._read:
            return self._last
        whole = self._window_rows == len(self._read)
        ids = tuple(reversed(self._read[: self._window_rows]))
        return Window(mark=max(self._mark, self._last.mark), floor=self._last.floor if whole else ids[0] - 1, ids=ids)

    def _remember(self, row: LeadConversion) -> None:
        if not self._read:
            self._mark, self._newest_time = row.id, row.created_at
        self._read.append(row.id)
        if len(self._read) <= self._least_rows + 1 or self._is_recent(row):
            self._window_rows = len(self._read)

    def _is_recent(self, row: LeadConversion) -> bool:
        if self._window_time is None or self._newest_time is None or row.created_at is None:
            return False
        return row.created_at >= self._newest_time - self._window_time
