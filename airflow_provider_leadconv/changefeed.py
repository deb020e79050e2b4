"""The listing as a changefeed: the conversions that are new since the previous pass, including late ids.

Conversions are listed newest first. A reader remembers the highest id it took, its *high watermark*. An id may become
visible after a higher one, so it also remembers which ids it took from an *overlap window* below the high watermark.
The next pass reads from the newest conversion down to the window's *low watermark*, and takes the ids that were not
taken before. Watermarks are ids, never times: ``created_at`` does not increase with the id, as the vendor's own example
shows.

No I/O: the caller passes the pages in, so the same code serves sync and async clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from airflow_provider_leadconv.api.models import LeadConversion

OVERLAP_ROWS = 200
"""Minimum number of rows in the overlap window: one page, so that one request reads it again."""

OVERLAP_TIME = timedelta(minutes=15)
"""The overlap window includes all rows created at most this long before the row of the high watermark."""

POLL_OVERLAP_ROWS = 100
"""Minimum number of rows that a poll reads again: half a page, which usually costs no extra request."""


class OverlapWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The state of a reader between two passes. JSON-serialisable.

    :param high_watermark: highest id taken; 0 before the first.
    :param low_watermark: ids at or below this one are not read again; 0 while the changefeed is shorter than a window.
    :param ids: ids taken above the low watermark, ascending.
    """

    high_watermark: int = 0
    low_watermark: int = 0
    ids: tuple[int, ...] = ()


class ChangefeedReader:
    """One pass from the newest conversion down to the low watermark of the previous pass.

    :param window: the overlap window of the previous pass; by default, the whole changefeed is new.
    :param overlap_time: the overlap window of this pass includes all rows created at most this long before the newest
        row with a readable ``created_at``; default: :data:`OVERLAP_TIME`.
    """

    def __init__(self, window: OverlapWindow | None = None, *, overlap_time: timedelta | None = None) -> None:
        self._previous = window or OverlapWindow()
        self._overlap_time = OVERLAP_TIME if overlap_time is None else overlap_time
        self._taken = frozenset(self._previous.ids)
        self._high_watermark = 0
        self._newest_time: datetime | None = None
        self._ids: list[int] = []
        self._overlap_rows = 0
        self._first_old: int | None = None  # position of the first row below the overlap window whose time is known
        self.finished = False
        """Whether the pass has reached the low watermark, so that no older row can be new."""

    def take(self, rows: Sequence[LeadConversion]) -> list[LeadConversion]:
        """Take the next rows of the pass.

        :param rows: newest first.
        :return: the rows that no earlier pass has taken.
        """
        above = [row for row in rows if row.id > self._previous.low_watermark]
        self.finished = self.finished or len(above) < len(rows)
        for row in above:
            if self.window_is_final:
                break
            self._remember(row)
        return [row for row in above if row.id not in self._taken]

    @property
    def window_is_final(self) -> bool:
        """Whether the pass is one page below its overlap window, so that :meth:`window` will not change any more."""
        return len(self._ids) > self._overlap_rows + OVERLAP_ROWS

    def window(self) -> OverlapWindow:
        """Return the overlap window for the next pass.

        Store it only after a complete pass, which is :attr:`finished` or has reached the end of the listing. The
        changefeed is read newest first, so after an incomplete pass, the rows between its lowest row and the previous
        high watermark would be lost.
        """
        if not self._ids:
            return self._previous
        # Down to the next row, since an id between that row and the window may be the first one of a burst, and late. A
        # row with an unreadable time may belong to the burst itself.
        kept = len(self._ids) - self.window_is_final if self._first_old is None else self._first_old
        return OverlapWindow(
            high_watermark=max(self._high_watermark, self._previous.high_watermark),
            low_watermark=self._ids[kept] if kept < len(self._ids) else self._previous.low_watermark,
            ids=tuple(reversed(self._ids[:kept])),
        )

    def _remember(self, row: LeadConversion) -> None:
        self._high_watermark = self._high_watermark or row.id
        self._newest_time = self._newest_time or row.created_at
        self._ids.append(row.id)
        if len(self._ids) <= OVERLAP_ROWS + 1 or self._is_recent(row):
            self._overlap_rows = len(self._ids)
            self._first_old = None
        elif self._first_old is None and (row.created_at or not self._newest_time):
            self._first_old = len(self._ids) - 1

    def _is_recent(self, row: LeadConversion) -> bool:
        if self._newest_time is None or row.created_at is None:
            return False
        return row.created_at >= self._newest_time - self._overlap_time


class SettledWatermark:
    """The id up to which no more ids become visible, for a reader that polls.

    An id becomes visible at most ``settle_time`` after it was assigned, so at most that long after a higher id was
    first seen. A read that starts later than that sees every id up to the higher one. The time since an id was first
    seen is measured by the reader's own clock, so it does not depend on ``created_at``, nor on the rate of conversions.

    :param settled: the id up to which all ids are known to be visible at the start.
    """

    def __init__(self, settled: int = 0) -> None:
        self._settled = settled
        self._seen: deque[tuple[float, int]] = deque()

    def note_seen(self, highest_id: int, at: float) -> None:
        """Note the highest id of a read, after the read."""
        if highest_id > (self._seen[-1][1] if self._seen else self._settled):
            self._seen.append((at, highest_id))

    def for_read(self, started_at: float, settle_time: float) -> int:
        """Return the id up to which a read sees every id.

        :param started_at: when the read started, or earlier.
        """
        while self._seen and self._seen[0][0] + settle_time <= started_at:
            self._settled = self._seen.popleft()[1]
        return self._settled
