"""Pagination of the listing: which page comes next, and consistency checks between pages.

A state machine without I/O, shared by the sync and the async client. It keeps the ids of one page in memory.
"""

from __future__ import annotations

from itertools import pairwise

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError, InvalidResponseError
from airflow_provider_leadconv.api.http import PATH
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.queries import ListQuery

# A short or empty page with a link does not end the listing (the vendor's example has one). More than this many empty
# pages in a row are an error.
MAX_EMPTY_PAGES = 20

MAX_REFUSED_CURSORS = 3
"""How often a walk starts at the top again because its cursor is refused. How long a cursor lives is not documented."""


class Listing:
    """Follows the cursors from the newest conversion to the oldest.

    :param query: filters and page size, sent with every request, since the cursor contains only an id.
    """

    def __init__(self, query: ListQuery) -> None:
        self.next_query: ListQuery | None = query
        """Query of the next page; ``None`` at the end."""
        self._query = query
        self._starts_at_top = query.cursor is None and query.page is None
        self._previous_ids: frozenset[int] = frozenset()
        self._lowest: int | None = None
        self._rows = 0
        self._total: int | None = None
        self._empty_pages = 0
        self._refused_cursors = 0
        self._returned_down_to: int | None = None  # before a cursor was refused

    def take(self, page: Page) -> list[LeadConversion]:
        """Check the response to :attr:`next_query`, and advance to the next page.

        :return: the conversions of the page, without those that were returned before.
        :raises InvalidResponseError: if the ids do not descend from page to page, or the listing ends before the total
            that it named, so that rows may be missing or the listing would never end.
        """
        query = self.next_query
        if query is None:
            raise ValueError("the listing has no next page")
        rows = self._new_rows(page.conversions)
        self._rows += len(rows)
        self._note_total(page)
        if page.next_cursor is None:
            self._check_total()
            self.next_query = None
        else:
            self._check_progress(page, rows, query)
            self.next_query = msgspec.structs.replace(query, cursor=page.next_cursor, page=None)
        if self._returned_down_to is None:
            return rows
        return [row for row in rows if row.id < self._returned_down_to]

    def restart(self, error: InvalidRequestError) -> None:
        """Start at the top after the cursor was refused, as an expired one. Rows returned before do not come again.

        :param error: the refusal.
        :raises InvalidRequestError: ``error``, if the page asked for was not one that this listing linked to.
        :raises InvalidResponseError: if cursors are refused again and again.
        """
        if self.next_query is None or self.next_query.cursor is None or self.next_query == self._query:
            raise error
        self._refused_cursors += 1
        if self._refused_cursors > MAX_REFUSED_CURSORS:
            raise _contradiction(f"its cursors were rejected {self._refused_cursors} times: {error.message}") from error
        if self._lowest is not None:
            lowest = self._lowest if self._returned_down_to is None else min(self._lowest, self._returned_down_to)
            self._returned_down_to = lowest
        self.next_query = msgspec.structs.replace(self._query, cursor=None, page=None)
        self._starts_at_top = True
        self._previous_ids, self._lowest, self._rows, self._total = frozenset(), None, 0, None

    def _new_rows(self, conversions: list[LeadConversion]) -> list[LeadConversion]:
        new_rows = [conversion for conversion in conversions if conversion.id not in self._previous_ids]
        ids = [conversion.id for conversion in new_rows]
        for higher, lower in pairwise(ids if self._lowest is None else [self._lowest, *ids]):
            if lower >= higher:
                raise _contradiction(f"conversion {lower} comes after {higher}, but ids must descend")
        self._lowest = ids[-1] if ids else self._lowest
        return new_rows

    def _note_total(self, page: Page) -> None:
        """Remember the smallest total: conversions that are deleted meanwhile are not missing."""
        if page.total is not None:
            self._total = page.total if self._total is None else min(self._total, page.total)

    def _check_total(self) -> None:
        if self._starts_at_top and self._total is not None and self._rows < self._total:
            raise _contradiction(f"it ends after {self._rows} conversions, but meta.count is {self._total}")

    def _check_progress(self, page: Page, rows: list[LeadConversion], query: ListQuery) -> None:
        if page.next_cursor == query.cursor:
            raise _contradiction("the link to the next page has the same cursor as the page itself")
        if page.conversions and not rows:
            raise _contradiction("a page repeats the previous one")
        self._empty_pages = 0 if rows else self._empty_pages + 1
        if self._empty_pages > MAX_EMPTY_PAGES:
            raise _contradiction(f"more than {MAX_EMPTY_PAGES} consecutive pages are empty but link to another")
        if page.conversions:
            self._previous_ids = frozenset([conversion.id for conversion in page.conversions])


def _contradiction(what: str) -> InvalidResponseError:
    return InvalidResponseError(f"the listing is inconsistent: {what}", method="GET", path=PATH)
