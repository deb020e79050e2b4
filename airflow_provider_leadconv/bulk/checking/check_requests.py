"""The requests of the pre-check: pages of the walk, a probe of its length, look-ups of single leads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import Any

from airflow_provider_leadconv.api.at_most_once import look_up
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.models import ConversionResult, LeadConversion, Page
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.bulk.checking.precheck import Precheck
from airflow_provider_leadconv.bulk.milestones import Milestones
from airflow_provider_leadconv.bulk.stop_state import StopState
from airflow_provider_leadconv.bulk.workers import Dispatcher

log = logging.getLogger(__name__)


class CheckRequests:
    """Submits what the pre-check asks for, and passes it the responses.

    :param milestones: receives the start watermark, and knows whether an error may still be raised.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        dispatcher: Dispatcher,
        precheck: Precheck,
        milestones: Milestones,
        stop: StopState,
    ) -> None:
        self.count = 0
        """How many requests were submitted."""
        self._client = client
        self._dispatcher = dispatcher
        self._precheck = precheck
        self._milestones = milestones
        self._stop = stop
        self._page: Future[Page] | None = None
        self._look_ups: set[Future[Any]] = set()  # and the probe
        self._page_was_last = False  # of pages and look-ups, the last request was a page

    @property
    def is_active(self) -> bool:
        """Whether there is something to ask, now or later."""
        return self._precheck.is_running and not self._stop.is_stopping

    @property
    def is_in_flight(self) -> bool:
        """Whether a request is in flight."""
        return bool(self._look_ups or self._page)

    @property
    def look_ups_in_flight(self) -> int:
        """How many look-ups are in flight. A probe counts as one."""
        return len(self._look_ups)

    @property
    def page_in_flight(self) -> bool:
        """Whether a page of the walk is in flight. They follow one after the other."""
        return self._page is not None

    @property
    def is_before_head(self) -> bool:
        """Whether the changefeed's head must not be read yet, since the walk has to cover the overlap window first."""
        return self.page_in_flight or (self.is_active and not self._precheck.walk.is_window_covered)

    @property
    def next_probe(self) -> ListQuery | None:
        """Query of the probe; ``None`` if it decides nothing."""
        return self._precheck.next_probe if self.is_active else None

    def next_page(self, *, take_turns: bool) -> ListQuery | None:
        """Return the query of the walk's next page, if it may be asked for now.

        :param take_turns: whether look-ups get every second permit.
        """
        if not self.is_active:
            return None
        if take_turns and self._page_was_last and self._precheck.to_look_up > 0:
            return None
        return self._precheck.next_page

    @property
    def can_look_up(self) -> bool:
        """Whether there is a lead to look up."""
        return self.is_active and self._precheck.to_look_up > 0

    def submit_page(self, query: ListQuery) -> None:
        """Ask for the walk's next page."""
        self._precheck.start(self._client.clock())
        self._page_was_last = True
        self.count += 1
        self._page = self._dispatcher.submit(partial(self._client.get_page, query), self._take_page)

    def submit_probe(self, query: ListQuery) -> None:
        """Ask for the page that shows how long the walk is."""
        self.count += 1
        self._precheck.note_probe()
        task = partial(self._client.get_page, query)
        self._look_ups.add(self._dispatcher.submit(task, partial(self._take_probe, query)))

    def submit_look_up(self) -> None:
        """Look up the next lead."""
        self._page_was_last = False
        self.count += 1
        lead_id = self._precheck.next_look_up(self._client.clock())
        task = partial(look_up, self._client, lead_id)
        self._look_ups.add(self._dispatcher.submit(task, partial(self._take_look_up, lead_id)))

    def _take_page(self, future: Future[Page]) -> Iterator[ConversionResult]:
        self._page = None
        try:
            found = self._precheck.take_page(future.result())
        except InvalidRequestError as error:
            found = iter(())
            self._restart_walk(error)
        except LeadConversionError as error:
            found = iter(())
            self._fail(error)
        self._milestones.note_start_watermark()
        yield from found

    def _restart_walk(self, error: InvalidRequestError) -> None:
        try:
            self._precheck.walk.restart(error)
        except LeadConversionError as failure:
            self._fail(failure)

    def _take_probe(self, query: ListQuery, future: Future[Page]) -> Iterator[ConversionResult]:
        self._look_ups.discard(future)
        try:
            page = future.result()
        except LeadConversionError as error:
            log.debug("Could not read page %s, so the length of the changefeed stays unknown: %s", query.page, error)
            return
        yield from self._precheck.take_probe(query, page)

    def _take_look_up(self, lead_id: int, future: Future[LeadConversion | None]) -> Iterator[ConversionResult]:
        self._look_ups.discard(future)
        try:
            found = future.result()
        except LeadConversionError as error:
            if not self._precheck.is_checked(lead_id):
                self._fail(error)
            return
        yield from self._precheck.take_look_up(lead_id, found)

    def _fail(self, error: LeadConversionError) -> None:
        """The leads cannot be checked. Once conversions were sent, the run ends in order."""
        if not self.is_active:
            return
        if not self._milestones.is_sending:
            raise error
        self._stop.stop(error)
