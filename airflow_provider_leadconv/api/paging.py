"""A listing read page by page: which page comes next, and what a page must not contain.

A state machine without I/O, so that the sync and the async client cannot differ. Its memory is one page.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from airflow_provider_leadconv.api.errors import InvalidResponseError
from airflow_provider_leadconv.api.messages import PATH
from airflow_provider_leadconv.api.records import LeadConversion, Page
from airflow_provider_leadconv.api.wire import ListQuery

# A short or empty page with a link does not end a listing (the vendor's example shows one), but this many do.
MAX_EMPTY_PAGES = 20


class Listing:
    """Follows the cursor from the newest conversion to the oldest.

    :param query: filters and page size; they are sent with every page, as the cursor holds only an id.
    """

    def __init__(self, query: ListQuery) -> None:
        self.next_query: ListQuery | None = query
        """What to ask for next; ``None`` at the end."""
        self._previous_ids: frozenset[int] = frozenset()
        self._lowest: int | None = None
        self._empty_pages = 0

    def take(self, page: Page) -> list[LeadConversion]:
        """Check the page that ``next_query`` asked for, and move on.

        :return: its conversions, without those that the page before had already.
        :raises InvalidResponseError: if the listing does not fall from page to page, so that rows may be missing or
            it would never end.
        """
        query = self.next_query
        if query is None:
            raise ValueError("the listing has ended")
        rows = self._fresh(page.conversions)
        if page.next_cursor is None:
            self.next_query = None
            return rows
        self._check_progress(page, rows, query)
        self.next_query = msgspec.structs.replace(query, cursor=page.next_cursor, page=None)
        return rows

    def _fresh(self, conversions: list[LeadConversion]) -> list[LeadConversion]:
        fresh = [conversion for conversion in conversions if conversion.id not in self._previous_ids]
        ids = [conversion.id for conversion in fresh]
        for higher, lower in pairwise(ids if self._lowest is None else [self._lowest, *ids]):
            if lower >= higher:
                raise _broken(f"conversion {lower} comes after {higher}, though ids must fall")
        self._lowest = ids[-1] if ids else self._lowest
        return fresh

    def _check_progress(self, page: Page, rows: list[LeadConversion], query: ListQuery) -> None:
        if page.next_cursor == query.cursor:
            raise _broken(f"the cursor {query.cursor} leads back to itself")
        if page.conversions and not rows:
            raise _broken("a page has only rows of the page before")
        self._empty_pages = 0 if rows else self._empty_pages + 1
        if self._empty_pages > MAX_EMPTY_PAGES:
            raise _broken(f"{MAX_EMPTY_PAGES} pages in a row are empty and yet link to more")
        if page.conversions:
            self._previous_ids = frozenset([conversion.id for conversion in page.conversions])


def _broken(what: str) -> InvalidResponseError:
    return InvalidResponseError(f"the listing contradicts itself: {what}", method="GET", path=PATH)
