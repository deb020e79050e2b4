"""Waiting for leads to be converted: who waits for which, how far back the log is worth reading, whom to look up.

One reading of the log serves all who wait, and every row is matched whatever its id. A *mark* says only how far back it
must be read for somebody: the highest conversion id there was before his leads were looked up last. Where reading
that far costs more requests than looking his leads up, they are looked up.

No I/O in here: queries are yielded and pages are sent in, so that sync and async callers wait alike.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.paging import Listing
from airflow_provider_leadconv.api.records import LeadConversion, Page, as_id
from airflow_provider_leadconv.api.wire import MAX_PER_PAGE, ListQuery

OVERLAP_ROWS = 100
"""So many rows are read again for ids that became visible late: half a page, so mostly it costs no request."""


class Watch:
    """Leads that somebody waits for, and the conversions found.

    :param lead_ids: ids of leads; repeated ones count once.
    :param mark: the highest conversion id there was before the leads were looked up; 0 if they were not.
    :param completed: called when the last of them is found.
    """

    def __init__(
        self, lead_ids: Iterable[int], *, mark: int = 0, completed: Callable[[], object] = lambda: None
    ) -> None:
        self.lead_ids = tuple(dict.fromkeys(lead_ids))
        self.mark = mark
        self.found: dict[int, LeadConversion] = {}
        self._completed = completed

    @property
    def pending(self) -> list[int]:
        """The leads not found yet, in the order asked for."""
        return [lead_id for lead_id in self.lead_ids if lead_id not in self.found]

    @property
    def conversions(self) -> list[LeadConversion]:
        """What was found, in the order asked for."""
        return [self.found[lead_id] for lead_id in self.lead_ids if lead_id in self.found]

    @property
    def progress(self) -> str:
        """How far it is, for a log."""
        return f"{len(self.found)} of {len(self.lead_ids)} leads are converted"

    def take(self, conversion: LeadConversion) -> None:
        """Note that one of the leads is converted."""
        self.found[conversion.lead_id] = conversion
        if len(self.found) == len(self.lead_ids):
            self._completed()


class Waiting:
    """Those who wait for leads of one account, and how much of the log was read for them."""

    def __init__(self) -> None:
        self._mark = 0
        self._floor: int | None = None  # down to here the next reading goes; None before the first
        self._joined: dict[Watch, None] = {}  # those for whom the log was not read yet
        self._by_lead: dict[int, list[Watch]] = {}  # longest not looked up first
        self._unchecked: dict[int, None] = {}

    @property
    def mark(self) -> int:
        """The highest conversion id read; 0 before the first reading."""
        return self._mark

    @property
    def unchecked(self) -> list[int]:
        """The leads that must be looked up, since the log was not read back to their mark."""
        return list(self._unchecked)

    @property
    def longest_unseen(self) -> int | None:
        """The lead whose last look-up is longest ago; ``None`` if nobody waits."""
        return next(iter(self._by_lead), None)

    def add(self, watch: Watch) -> None:
        """Wait for the pending leads of a watch as well."""
        self._joined[watch] = None
        for lead_id in watch.pending:
            self._by_lead.setdefault(lead_id, []).append(watch)

    def remove(self, watch: Watch) -> None:
        """Wait no longer for what is pending of a watch."""
        self._joined.pop(watch, None)
        for lead_id in watch.pending:
            others = [other for other in self._by_lead.pop(lead_id, ()) if other is not watch]
            if others:
                self._by_lead[lead_id] = others
            else:
                self._unchecked.pop(lead_id, None)

    def see(self, rows: Iterable[LeadConversion]) -> bool:
        """Match conversions with those who wait for their leads.

        :return: whether somebody did.
        """
        waited_for = len(self._by_lead)
        for row in rows:
            self._unchecked.pop(row.lead_id, None)
            for watch in self._by_lead.pop(row.lead_id, ()):
                watch.take(row)
        return len(self._by_lead) < waited_for

    def looked_up(self, lead_id: int, conversion: LeadConversion | None) -> None:
        """Note what the look-up of a lead found."""
        self._unchecked.pop(lead_id, None)
        if conversion is not None:
            self.see([conversion])
        elif watches := self._by_lead.pop(lead_id, None):
            self._by_lead[lead_id] = watches

    def read_log(self, *, down_to: int | None = None, max_pages: int | None = None) -> Generator[ListQuery, Page, None]:
        """Read the log from its newest row as far back as it pays; then look up who is :attr:`unchecked`.

        Rows count as they are read. That the log was read counts only at the end: a reading that fails half-way
        moves no mark.

        :param down_to: read at least the rows above this id, as somebody else needs them.
        :param max_pages: read as far back as anybody needs, but no more pages than this.
        """
        joined = tuple(self._joined)
        listing = Listing(ListQuery())
        rows = yield from _next_rows(listing)
        depth = self._depth(rows, joined) if listing.next_query and max_pages is None else self._lowest_need(joined)
        depth = depth if down_to is None else min(depth, down_to)
        newest: list[int] = []
        reached = pages = 0
        while rows:
            pages += 1
            newest += [row.id for row in rows[: OVERLAP_ROWS - len(newest)]]
            found = self.see(rows)
            reached = rows[-1].id - 1 if listing.next_query else 0
            # A page that has somebody's lead saves its look-up, so reading on costs nothing.
            done = reached <= depth and not (found and any(watch.mark < reached for watch in joined))
            if done or pages == max_pages:
                break
            rows = yield from _next_rows(listing)
        else:
            reached = 0
        self._note_reading(newest, joined, reached)

    def _lowest_need(self, joined: Iterable[Watch]) -> int:
        """:return: the id above which somebody has not seen the log."""
        return min([watch.mark for watch in joined] + ([] if self._floor is None else [self._floor]), default=0)

    def _depth(self, rows: Sequence[LeadConversion], joined: Iterable[Watch]) -> int:
        """Find the id above which to read the log, so that this and looking up the rest take the fewest requests.

        :param rows: the newest page. What else there is above an id is estimated by how dense its ids are.
        """
        reached = rows[-1].id - 1
        ids_a_page = (rows[0].id - reached) / len(rows) * MAX_PER_PAGE
        needs = [(watch.mark, len(watch.pending)) for watch in joined]
        if self._floor is not None:
            needs.append((self._floor, max(0, len(self._by_lead) - sum(leads for _, leads in needs))))
        older = sorted((need for need in needs if need[0] < reached), reverse=True)
        look_ups = sum(leads for _, leads in older)
        best = (look_ups, reached)
        for mark, leads in older:
            look_ups -= leads
            best = min(best, (math.ceil((reached - mark) / ids_a_page) + look_ups, mark))
        return best[1]

    def _note_reading(self, newest: Sequence[int], joined: Iterable[Watch], reached: int) -> None:
        behind = [lead_id for watch in joined if watch.mark < reached for lead_id in watch.pending]
        if self._floor is not None and self._floor < reached:
            behind = list(self._by_lead)
        self._unchecked.update((lead_id, None) for lead_id in behind if lead_id in self._by_lead)
        for watch in joined:
            self._joined.pop(watch, None)
        self._mark = max([self._mark, *newest])
        self._floor = newest[-1] - 1 if len(newest) == OVERLAP_ROWS else reached


def _next_rows(listing: Listing) -> Generator[ListQuery, Page, list[LeadConversion]]:
    """:return: the next rows of a listing; none at its end."""
    rows: list[LeadConversion] = []
    while not rows and (query := listing.next_query) is not None:
        rows = listing.take((yield query))
    return rows


def read_lead_ids(value: Any) -> tuple[list[int], bool]:
    """Take the leads to wait for in every form that users and templates have them.

    :param value: an id, a sequence of ids, or a string that a template rendered: an id, or a list as JSON or Python
        writes it.
    :return: the ids, each once, and whether it was a list.
    :raises InvalidRequestError: if it is anything else, or an id is out of range.
    """
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = ast.literal_eval(value.strip())
        except (SyntaxError, ValueError) as error:
            raise InvalidRequestError(f"lead_id must be an id or a list of ids, got {value!r:.80}") from error
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(dict.fromkeys(as_id(lead_id, "lead_id") for lead_id in value)), True
    return [as_id(value, "lead_id")], False
