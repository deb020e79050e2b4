"""The pre-check: which leads of a batch are not converted?

Leads are looked up one by one while the changefeed is walked. A look-up decides on one lead, and many are under way at
a time. A page of the walk finds up to 200 conversions, but pages follow one after the other, and a lead that is not
converted is cleared only by the walk's end. The pre-check is over when every lead is found or cleared by either.

No I/O: the caller makes the requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.models import ConversionResult, LeadConversion, Page
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.bulk.checking.cleared_leads import ClearedLeads
from airflow_provider_leadconv.bulk.checking.walk import Walk
from airflow_provider_leadconv.bulk.ledger import Ledger


class Precheck:
    """Decides what to ask next, and what the responses mean.

    If an earlier process of the run has checked all these leads, the walk ends at the run's start watermark.

    :param ledger: receives the conversions that are found, and the start watermark.
    :param cleared: receives the leads that are not converted.
    """

    def __init__(self, config: ClientConfig, ledger: Ledger, cleared: ClearedLeads) -> None:
        known = ledger.resume_state
        low_watermark = (known.start_watermark or 0) if known.prechecked else 0
        self.walk = Walk(config, low_watermark=low_watermark, required_id=known.start_watermark)
        self._ledger = ledger
        self._cleared = cleared
        self._walk_started_at: float | None = None
        self._unchecked = dict.fromkeys(ledger.leads)
        self._order = iter(tuple(ledger.leads))  # input order: that is how leads are then sent
        self._looking_up: dict[int, float] = {}
        self._looked_up = 0
        self._is_probed = False

    @property
    def is_running(self) -> bool:
        """Whether leads are unchecked, or the walk must go on."""
        return bool(self._unchecked) or self.walk.is_required

    @property
    def checked(self) -> int:
        """How many leads are found or cleared."""
        return len(self._ledger.leads) - len(self._unchecked)

    @property
    def to_look_up(self) -> int:
        """How many unchecked leads are not being looked up."""
        return len(self._unchecked) - len(self._looking_up.keys() & self._unchecked.keys())

    def is_checked(self, lead_id: int) -> bool:
        """Return whether a lead is found or cleared."""
        return lead_id not in self._unchecked

    @property
    def next_page(self) -> ListQuery | None:
        """Query of the walk's next page; ``None`` if another page is not worthwhile."""
        if self.walk.is_required or self.walk.is_worthwhile(self.to_look_up, self._looked_up):
            return self.walk.next_query
        return None

    def start(self, now: float) -> None:
        """Note that a page is asked for."""
        if self._walk_started_at is None:
            self._walk_started_at = now

    def take_page(self, page: Page) -> Iterator[ConversionResult]:
        """Take the walk's next page.

        :raises InvalidResponseError: if the listing contradicts itself.
        """
        rows = self.walk.take(page)
        if self._ledger.start_watermark is None:
            self._ledger.start_watermark = self.walk.newest_id
        return self._take_rows(rows)

    def _take_rows(self, rows: Iterable[LeadConversion]) -> Iterator[ConversionResult]:
        yield from self.observe(rows)
        if self.walk.next_query is None and self._walk_started_at is not None:
            self._clear(self._unchecked, self._walk_started_at)

    @property
    def next_probe(self) -> ListQuery | None:
        """Query that shows how long the walk is; ``None`` if that is known or decides nothing."""
        if self._is_probed or not self.walk.pages or not self._unchecked:
            return None
        return self.walk.probe(self.to_look_up, self._looked_up)

    def note_probe(self) -> None:
        """Note that :attr:`next_probe` is asked for. That is done once."""
        self._is_probed = True

    def take_probe(self, query: ListQuery, page: Page) -> Iterator[ConversionResult]:
        """Take the page that :meth:`next_probe` asked for."""
        self.walk.take_probe(query, page)
        return self.observe(page.conversions)

    def next_look_up(self, now: float) -> int:
        """Return the next lead to look up, of those that :attr:`to_look_up` counts."""
        lead_id = next(lead_id for lead_id in self._order if lead_id in self._unchecked)
        self._looking_up[lead_id] = now
        self._looked_up += 1
        return lead_id

    def take_look_up(self, lead_id: int, found: LeadConversion | None) -> Iterator[ConversionResult]:
        """Take what the look-up of a lead has found."""
        asked_at = self._looking_up.pop(lead_id)
        if found:
            yield from self.observe([found])
        elif lead_id in self._unchecked:
            self._clear([lead_id], asked_at)

    def observe(self, rows: Iterable[LeadConversion]) -> Iterator[ConversionResult]:
        """Take conversions, from wherever they are known."""
        for result in self._ledger.observe(rows):
            self._unchecked.pop(result.lead_id, None)
            yield result

    def _clear(self, lead_ids: Iterable[int], checked_at: float) -> None:
        lead_ids = tuple(lead_ids)
        self._cleared.add(lead_ids, checked_at)
        for lead_id in lead_ids:
            del self._unchecked[lead_id]
