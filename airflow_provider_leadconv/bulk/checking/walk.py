"""A walk of the changefeed, one page after the other: how far it got, and whether it is worth going on.

No I/O: the caller asks for the pages.
"""

from __future__ import annotations

from math import inf

import msgspec

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.pagination import Listing
from airflow_provider_leadconv.api.queries import MAX_PAGE, ListQuery
from airflow_provider_leadconv.bulk.changefeed_head import new_reader
from airflow_provider_leadconv.changefeed import OverlapWindow


class Walk:
    """Reads the changefeed from the newest conversion down to a low watermark, or to its end.

    :param low_watermark: where the walk ends; 0: at the oldest conversion.
    :param required_id: the walk must get down to this id, whether or not that is worthwhile.
    """

    def __init__(self, config: ClientConfig, *, low_watermark: int = 0, required_id: int | None = None) -> None:
        self.newest_id: int | None = None
        """Id of the newest conversion; 0 if there is none, ``None`` before it is known."""
        self.pages = 0
        """How many pages were read."""
        self._listing = Listing(ListQuery())
        self._low_watermark = low_watermark
        self._required_id = required_id
        self._reader = new_reader(config, OverlapWindow(low_watermark=low_watermark))
        self._lowest = 0
        self._longer_than = 0
        self._shorter_than: int | None = None

    @property
    def next_query(self) -> ListQuery | None:
        """Query of the next page; ``None`` at the end."""
        return None if self._reader.finished else self._listing.next_query

    def take(self, page: Page) -> list[LeadConversion]:
        """Take the page that :attr:`next_query` asked for.

        :return: its conversions.
        :raises InvalidResponseError: if the listing contradicts itself.
        """
        rows = self._listing.take(page)
        self.pages += 1
        self._reader.take(rows)
        if rows:
            self._lowest = rows[-1].id
        if self.newest_id is None and (rows or self.next_query is None):
            self.newest_id = rows[0].id if rows else 0
        return rows

    def restart(self, error: InvalidRequestError) -> None:
        """Start at the top after the cursor was refused; see :meth:`.Listing.restart`.

        :raises LeadConversionError: if that does not help.
        """
        self._listing.restart(error)

    @property
    def is_required(self) -> bool:
        """Whether more pages must be read: the overlap window or the required id was not reached."""
        if self.next_query is None:
            return False
        return not self.is_window_covered or (self._required_id is not None and self._lowest > self._required_id)

    @property
    def is_window_covered(self) -> bool:
        """Whether :meth:`window` is as deep as an overlap window must be."""
        return self.next_query is None or self._reader.window().low_watermark > self._low_watermark

    def window(self) -> OverlapWindow:
        """Return the overlap window for the next reading of the changefeed's head."""
        window = self._reader.window()
        if self.next_query is None or window.low_watermark > self._low_watermark:
            return window
        return msgspec.structs.replace(window, low_watermark=self._lowest - 1)

    def is_worthwhile(self, unchecked: int, looked_up: int) -> bool:
        """Whether to read on: the pages that are left are probably fewer than the look-ups they make superfluous.

        How long the changefeed is, is not known. The best guess is that as many pages are left as were read, or half of
        those up to a known upper bound. Pages down to a known lower bound end nothing for certain, so they count twice.

        :param unchecked: how many leads are to be looked up.
        :param looked_up: how many were looked up while the pages so far were read.
        """
        if self._shorter_than is not None:
            left = (self._shorter_than - self.pages) / 2
        else:
            left = max(self.pages, 3 * self._longer_than - 2 * self.pages)
        return self.next_query is not None and left < self._worthwhile_pages(unchecked, looked_up)

    def probe(self, unchecked: int, looked_up: int) -> ListQuery | None:
        """Return the query of a deep page that shows whether the walk is short enough to be worthwhile.

        :param unchecked: how many leads are to be looked up.
        :param looked_up: how many were looked up while the pages so far were read.
        :return: ``None`` if it would decide nothing: the walk is over or deeper, or worthwhile anyhow.
        """
        most = self._worthwhile_pages(unchecked, looked_up)
        page = min(self.pages + int(most), MAX_PAGE)
        if self.next_query is None or page <= self.pages + 1 or most > 2 * MAX_PAGE:
            return None
        return ListQuery(page=page)

    def _worthwhile_pages(self, unchecked: int, looked_up: int) -> float:
        """How many pages are fewer than the look-ups that are left, and end before these do at their pace so far."""
        return unchecked * self.pages / max(self.pages, looked_up) if self.pages else inf

    def take_probe(self, query: ListQuery, page: Page) -> None:
        """Take the page that :meth:`probe` asked for."""
        if page.next_cursor is not None and page.conversions and page.conversions[-1].id > self._low_watermark:
            self._longer_than = query.page or 1
        else:
            self._shorter_than = query.page
