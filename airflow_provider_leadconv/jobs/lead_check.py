"""The leads of one sensor, looked for by its worker.

What a check costs depends on what it knows. One that remembers the last reading of the log reads on from there. One
that remembers nothing has no mark to read down to: it looks leads up.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Protocol

from airflow_provider_leadconv.api.records import LeadConversion, Page
from airflow_provider_leadconv.api.wire import MAX_PER_PAGE, ListQuery
from airflow_provider_leadconv.jobs.waiting import Waiting, Watch


class Source(Protocol):
    """What a check needs of a client."""

    def get_page(self, query: ListQuery) -> Page:
        """:return: one page of the listing."""

    def find(self, query: ListQuery) -> LeadConversion | None:
        """:return: the newest conversion that a query finds."""


class LeadCheck:
    """Leads, those of them that were found converted, and how far the log was read for the others.

    :param lead_ids: ids of leads; repeated ones count once.
    """

    def __init__(self, lead_ids: Iterable[int]) -> None:
        self.watch = Watch(lead_ids)
        self._waiting = _waiting_for(self.watch)

    @property
    def mark(self) -> int:
        """The highest conversion id there was before the last check; 0 if it did not read the log."""
        return self._waiting.mark

    def look_for_news(self, source: Source) -> None:
        """Look for what is new since the last time, by at most as many requests as there are leads left to wait for.

        A single lead is looked up. For more, the log is read down to where the last reading began, which costs a page
        more than the new conversions fill, at the most. If that is more pages than there are leads, the reading ends
        early, and the next check looks each lead up instead.
        """
        pending = self.watch.pending
        if len(pending) > 1 and not self._waiting.unchecked:
            self._read_log(source, max_pages=len(pending))
        else:
            self._look_up(source, self._waiting.unchecked or pending)

    def look_for_all(self, source: Source, *, take_mark: bool = False) -> None:
        """Look for every lead anew, whatever is known of the log.

        :param take_mark: know the :attr:`mark` then, which costs a single lead a request more.
        """
        self._waiting = _waiting_for(self.watch)
        pending = self.watch.pending
        if take_mark or len(pending) > 1:
            self._read_log(source)
            pending = self._waiting.unchecked
        self._look_up(source, pending)

    def look_until_one_is_missing(self, source: Source) -> None:
        """Find out whether all are converted, and no more, with nothing known of the log.

        The first lead that is not converted ends it; in random order it is soon met. More leads than a page has rows
        are looked for in the log first.
        """
        pending = self.watch.pending
        if len(pending) > MAX_PER_PAGE:
            self._read_log(source)
            pending = self._waiting.unchecked
        random.shuffle(pending)
        for lead_id in pending:
            self._look_up(source, [lead_id])
            if lead_id not in self.watch.found:
                return

    def _look_up(self, source: Source, lead_ids: Iterable[int]) -> None:
        for lead_id in lead_ids:
            self._waiting.looked_up(lead_id, source.find(ListQuery(per_page=1, lead_id=lead_id)))

    def _read_log(self, source: Source, *, max_pages: int | None = None) -> None:
        reading = self._waiting.read_log(max_pages=max_pages)
        try:
            query = next(reading)
            while True:
                query = reading.send(source.get_page(query))
        except StopIteration:
            pass


def _waiting_for(watch: Watch) -> Waiting:
    waiting = Waiting()
    waiting.add(watch)
    return waiting
