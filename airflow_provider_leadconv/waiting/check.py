"""The check of one sensor on its worker: which of its leads are converted?

The cost of a check depends on what it remembers. With the watermark of the previous check, it reads only the new rows
of the changefeed. Without a watermark, it looks the leads up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import Protocol

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.queries import MAX_PER_PAGE, ListQuery
from airflow_provider_leadconv.waiting.registry import AwaitedLeads, WaitRegistry


class Source(Protocol):
    """The attributes of a client that a check uses."""

    @property
    def config(self) -> ClientConfig:
        """The limits and timeouts."""
        ...

    def get_page(self, query: ListQuery) -> Page:
        """Return one page of the listing."""
        ...

    def find(self, query: ListQuery) -> LeadConversion | None:
        """Return the newest conversion that matches a query, or ``None``."""
        ...


class LeadCheck:
    """Checks which leads are converted, and remembers the result and the position in the changefeed between checks.

    :param lead_ids: ids of leads; duplicates are ignored.
    :param clock: seconds on a clock that never runs backwards.
    """

    def __init__(self, lead_ids: Iterable[int], *, clock: Callable[[], float] = time.monotonic) -> None:
        self.leads = AwaitedLeads(lead_ids)
        self._clock = clock
        self._registry = self._new_registry()

    @property
    def high_watermark(self) -> int:
        """The highest conversion id before the last check; 0 if it did not read the changefeed."""
        return self._registry.high_watermark

    def check_new(self, source: Source) -> None:
        """Check the pending leads, with at most as many requests as there are pending leads.

        A single lead is looked up. For several leads, the changefeed is read down to where the previous read could have
        missed an id that became visible late. If that takes more pages than there are leads, the read stops early, and
        the next check looks up each lead instead.
        """
        pending = self.leads.pending
        if len(pending) > 1 and not self._registry.unchecked:
            self._read_changefeed(source, max_pages=len(pending))
        else:
            self._look_up(source, self._registry.unchecked or pending)

    def check_all(self, source: Source, *, needs_watermark: bool = False) -> None:
        """Check all pending leads, independently of previous reads of the changefeed.

        :param needs_watermark: also update :attr:`high_watermark`, which costs one more request for a single lead.
        """
        self._registry = self._new_registry()
        pending = self.leads.pending
        if needs_watermark or len(pending) > 1:
            self._read_changefeed(source)
            pending = self._registry.unchecked
        self._look_up(source, pending)

    def check_until_one_is_missing(self, source: Source) -> None:
        """Check only whether all leads are converted, without a watermark from a previous check.

        The leads are looked up in random order, which soon finds one that is not converted and ends the check. If there
        are more leads than rows on a page, the changefeed is read first.
        """
        pending = self.leads.pending
        if len(pending) > MAX_PER_PAGE:
            self._read_changefeed(source)
            pending = self._registry.unchecked
        random.shuffle(pending)
        for lead_id in pending:
            self._look_up(source, [lead_id])
            if lead_id not in self.leads.found:
                return

    def _look_up(self, source: Source, lead_ids: Iterable[int]) -> None:
        for lead_id in lead_ids:
            self._registry.note_lookup(lead_id, source.find(ListQuery(per_page=1, lead_id=lead_id)))

    def _read_changefeed(self, source: Source, *, max_pages: int | None = None) -> None:
        self._registry.settle_time = source.config.settle_time
        steps = self._registry.read_changefeed(max_pages=max_pages)
        try:
            query = next(steps)
            while True:
                try:
                    page = source.get_page(query)
                except InvalidRequestError as error:
                    query = steps.throw(error)
                else:
                    query = steps.send(page)
        except StopIteration:
            pass

    def _new_registry(self) -> WaitRegistry:
        registry = WaitRegistry(self._clock)
        registry.add(self.leads)
        return registry
