"""Registry of awaited leads: how far back to read the changefeed for them, and which leads to look up instead.

One read of the changefeed serves all subscribers, and every row is matched, whatever its id. A *start watermark* only
says how far back the changefeed must be read for a subscriber: it is the highest conversion id before its leads were
last looked up. If reading that far costs more requests than looking the leads up, they are looked up.

No I/O: queries are yielded and pages are sent in, so the same code serves sync and async clients.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import NamedTuple

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.pagination import Listing
from airflow_provider_leadconv.api.queries import MAX_PER_PAGE, ListQuery
from airflow_provider_leadconv.changefeed import POLL_OVERLAP_ROWS, SettledWatermark
from airflow_provider_leadconv.waiting.lead_ids import shown


class AwaitedLeads:
    """The leads of one subscriber, and their conversions found so far.

    :param lead_ids: ids of leads; duplicates are ignored.
    :param start_watermark: the highest conversion id before the leads were looked up; 0 if they were not looked up.
    :param completed: called when the last conversion is found.
    """

    def __init__(
        self, lead_ids: Iterable[int], *, start_watermark: int = 0, completed: Callable[[], object] = lambda: None
    ) -> None:
        self.lead_ids = tuple(dict.fromkeys(lead_ids))
        self.start_watermark = start_watermark
        self.found: dict[int, LeadConversion] = {}
        self._completed = completed

    @property
    def pending(self) -> list[int]:
        """Leads whose conversion is not found yet, in the order given."""
        return [lead_id for lead_id in self.lead_ids if lead_id not in self.found]

    @property
    def conversions(self) -> list[LeadConversion]:
        """Conversions found, in the order of the lead ids."""
        return [self.found[lead_id] for lead_id in self.lead_ids if lead_id in self.found]

    @property
    def progress(self) -> str:
        """Which leads are converted, as a text for logs and errors."""
        pending = self.pending
        if len(self.lead_ids) == 1:
            return f"lead {self.lead_ids[0]} is {'not yet ' if pending else ''}converted"
        counted = f"{len(self.found):,} of {len(self.lead_ids):,} leads are converted"
        return f"{counted}; waiting for {shown(pending)}" if pending else counted

    def add_found(self, conversion: LeadConversion) -> None:
        """Add the conversion of one of the leads."""
        self.found[conversion.lead_id] = conversion
        if len(self.found) == len(self.lead_ids):
            self._completed()


class WaitRegistry:
    """The awaited leads of one account, and how far the changefeed was read for them.

    Each read goes back to where the read before could have missed an id that became visible late.

    :param clock: seconds on a clock that never runs backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.settle_time = 0.0
        """Seconds by which an id may become visible late. To be set before the first page is sent in."""
        self._clock = clock
        self._settled = SettledWatermark()
        self._high_watermark = 0
        self._low_watermark: int | None = None  # end of the next read; None before the first
        self._unread: dict[AwaitedLeads, None] = {}  # added since the last read of the changefeed
        self._by_lead: dict[int, list[AwaitedLeads]] = {}  # least recently looked up first
        self._unchecked: dict[int, None] = {}

    @property
    def high_watermark(self) -> int:
        """The highest conversion id read; 0 before the first read."""
        return self._high_watermark

    @property
    def unchecked(self) -> list[int]:
        """Leads to look up, since the changefeed was not read back to their start watermark."""
        return list(self._unchecked)

    @property
    def least_recently_looked_up(self) -> int | None:
        """The lead whose last look-up is longest ago; ``None`` if no lead is awaited."""
        return next(iter(self._by_lead), None)

    def is_awaited(self, lead_id: int) -> bool:
        """Return whether a lead is awaited."""
        return lead_id in self._by_lead

    def add(self, awaited: AwaitedLeads) -> None:
        """Register leads: their pending ones are awaited from now on."""
        self._unread[awaited] = None
        for lead_id in awaited.pending:
            self._by_lead.setdefault(lead_id, []).append(awaited)

    def remove(self, awaited: AwaitedLeads) -> None:
        """Remove leads: their pending ones are no longer awaited, unless another subscriber awaits them."""
        self._unread.pop(awaited, None)
        for lead_id in awaited.pending:
            others = [other for other in self._by_lead.pop(lead_id, ()) if other is not awaited]
            if others:
                self._by_lead[lead_id] = others
            else:
                self._unchecked.pop(lead_id, None)

    def observe(self, rows: Iterable[LeadConversion]) -> bool:
        """Match conversions with the awaited leads.

        :return: whether any conversion matched.
        """
        awaited_before = len(self._by_lead)
        for row in rows:
            self._unchecked.pop(row.lead_id, None)
            for awaited in self._by_lead.pop(row.lead_id, ()):
                awaited.add_found(row)
        return len(self._by_lead) < awaited_before

    def note_lookup(self, lead_id: int, conversion: LeadConversion | None) -> None:
        """Record the result of the look-up of a lead."""
        self._unchecked.pop(lead_id, None)
        if conversion is not None:
            self.observe([conversion])
        elif subscribers := self._by_lead.pop(lead_id, None):
            self._by_lead[lead_id] = subscribers  # at the end, as the most recently looked up

    def postpone_lookup(self, lead_id: int) -> None:
        """Look a lead up after all others, since its look-up failed."""
        if lead_id in self._unchecked:
            del self._unchecked[lead_id]
            self._unchecked[lead_id] = None
        if subscribers := self._by_lead.pop(lead_id, None):
            self._by_lead[lead_id] = subscribers

    def read_changefeed(
        self, *, down_to: int | None = None, max_pages: int | None = None
    ) -> Generator[ListQuery, Page, None]:
        """Read from the newest row down to the depth that needs the fewest requests.

        Afterwards, the caller must look up the :attr:`unchecked` leads. Rows are matched as they are read, but
        watermarks move only at the end: an error midway moves none.

        :param down_to: read at least the rows above this id, because another subscriber needs them.
        :param max_pages: read down to the lowest watermark, but at most this many pages.
        """
        started_at = self._clock()
        unread = tuple(self._unread)
        listing = Listing(ListQuery())
        rows = yield from _next_rows(listing)
        settled = self._settled.for_read(started_at, self.settle_time)
        self._settled.note_seen(rows[0].id if rows else 0, self._clock())
        is_bounded = listing.next_query is None or max_pages is not None
        depth = self._lowest_watermark(unread) if is_bounded else self._cheapest_depth(rows, unread)
        depth = depth if down_to is None else min(depth, down_to)
        newest: list[int] = []
        reached = pages = 0
        while rows:
            pages += 1
            newest += [row.id for row in rows[: POLL_OVERLAP_ROWS - len(newest)]]
            found = self.observe(rows)
            reached = rows[-1].id - 1 if listing.next_query else 0
            # A page with an awaited lead saves its look-up, so it pays for the next page.
            done = reached <= depth and not (found and any(awaited.start_watermark < reached for awaited in unread))
            if done or pages == max_pages:
                break
            rows = yield from _next_rows(listing)
        else:
            reached = 0
        self._finish_read(newest, unread, reached, settled)

    def _lowest_watermark(self, unread: Iterable[AwaitedLeads]) -> int:
        """Return the id down to which the changefeed must be read for all subscribers."""
        watermarks = [awaited.start_watermark for awaited in unread]
        return min([*watermarks, *([] if self._low_watermark is None else [self._low_watermark])], default=0)

    def _cheapest_depth(self, newest_page: Sequence[LeadConversion], unread: Iterable[AwaitedLeads]) -> int:
        """Return the id down to which reading, and looking up the remaining leads, needs the fewest requests.

        An example. The newest page has the ids 9801 to 10000, so a page has 200 ids. Sensor A awaits 3 leads and has
        the start watermark 9500: reading down to it costs 2 pages and saves 3 look-ups. Sensor B awaits 5 leads and has
        the start watermark 8000: reading down to it costs 7 more pages and saves 5 look-ups. So the candidates cost 8
        look-ups (9800), 2 pages and 5 look-ups (9500), or 9 pages (8000). The cheapest is 9500, with 7 requests.

        :param newest_page: its ids give an estimate of the number of pages above an older id.
        """
        reached = newest_page[-1].id - 1
        ids_per_page = (newest_page[0].id - reached) / len(newest_page) * MAX_PER_PAGE
        candidates = [_Depth(awaited.start_watermark, len(awaited.pending)) for awaited in unread]
        if self._low_watermark is not None:
            leads_read_before = len(self._by_lead) - sum(depth.leads for depth in candidates)
            candidates.append(_Depth(self._low_watermark, max(0, leads_read_before)))
        older = sorted((depth for depth in candidates if depth.watermark < reached), reverse=True)
        look_ups = sum(depth.leads for depth in older)
        lowest_cost, cheapest = look_ups, reached
        for depth in older:
            look_ups -= depth.leads
            cost = math.ceil((reached - depth.watermark) / ids_per_page) + look_ups
            lowest_cost, cheapest = min((lowest_cost, cheapest), (cost, depth.watermark))
        return cheapest

    def _finish_read(self, newest: Sequence[int], unread: Iterable[AwaitedLeads], reached: int, settled: int) -> None:
        missed = [lead_id for awaited in unread if awaited.start_watermark < reached for lead_id in awaited.pending]
        if self._low_watermark is not None and self._low_watermark < reached:
            missed = list(self._by_lead)
        self._unchecked.update((lead_id, None) for lead_id in missed if lead_id in self._by_lead)
        for awaited in unread:
            self._unread.pop(awaited, None)
        self._high_watermark = max([self._high_watermark, *newest])
        low_watermark = newest[-1] - 1 if len(newest) == POLL_OVERLAP_ROWS else reached
        if self._low_watermark is not None:
            low_watermark = min(low_watermark, max(self._low_watermark, settled))
        self._low_watermark = low_watermark


class _Depth(NamedTuple):
    """An id down to which the changefeed can be read, and the leads that need not be looked up then."""

    watermark: int
    leads: int


def _next_rows(listing: Listing) -> Generator[ListQuery, Page, list[LeadConversion]]:
    """Return the next rows of a listing; none at its end."""
    rows: list[LeadConversion] = []
    while not rows and (query := listing.next_query) is not None:
        try:
            page = yield query
        except InvalidRequestError as error:
            listing.restart(error)
        else:
            rows = listing.take(page)
    return rows
