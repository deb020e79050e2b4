"""Readings of the changefeed's head: what others converted meanwhile, and what unknown outcomes came to."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from math import inf

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.api.models import ConversionResult
from airflow_provider_leadconv.bulk.changefeed_head import ChangefeedHead, read_head
from airflow_provider_leadconv.bulk.checking.cleared_leads import ClearedLeads
from airflow_provider_leadconv.bulk.checking.precheck import Precheck
from airflow_provider_leadconv.bulk.ledger import Ledger
from airflow_provider_leadconv.bulk.stop_state import StopState
from airflow_provider_leadconv.bulk.workers import Dispatcher
from airflow_provider_leadconv.changefeed import OverlapWindow

log = logging.getLogger(__name__)

HEAD_INTERVAL = 30.0
"""Seconds between two readings of the changefeed's head while leads are sent."""


class HeadReader:
    """Reads the changefeed's head when it is due, one reading at a time.

    :param ledger: has the unknown outcomes, which a reading resolves.
    :param cleared: receives the leads to send again, and the time since which the others are known to be unconverted.
    :param precheck: receives the rows, and has the overlap window of the first reading.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        dispatcher: Dispatcher,
        ledger: Ledger,
        cleared: ClearedLeads,
        precheck: Precheck,
        stop: StopState,
    ) -> None:
        self.known_suspensions = 0
        """How many suspensions of the process :meth:`check_suspension` has noticed."""
        self._client = client
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._cleared = cleared
        self._precheck = precheck
        self._stop = stop
        self._reading: Future[ChangefeedHead] | None = None
        self._window: OverlapWindow | None = None
        self._read_at = client.clock()
        self._required_from: float | None = None

    def start(self) -> None:
        """Count the time to the first reading from now on."""
        self._read_at = self._client.clock()

    def check_suspension(self) -> None:
        """After a suspension, require a reading that shows what others did meanwhile."""
        if self.known_suspensions == self._dispatcher.suspensions:
            return
        self.known_suspensions = self._dispatcher.suspensions
        self._required_from = self._client.clock() + self._client.config.settle_time
        log.warning(
            "The process was suspended; reading the conversions of the meantime in %.0f s, before the next request",
            self._client.config.settle_time,
        )

    @property
    def is_required(self) -> bool:
        """Whether nothing may be sent before the head is read."""
        return self._required_from is not None

    @property
    def is_in_flight(self) -> bool:
        """Whether a reading is in flight."""
        return self._reading is not None

    @property
    def window(self) -> OverlapWindow:
        """The overlap window of the next reading."""
        return self._window or self._precheck.walk.window()

    def due_in(self, *, is_sending: bool, attempts_in_flight: bool) -> float:
        """Return the seconds until the head is to be read.

        While leads are sent, that is every :data:`HEAD_INTERVAL`, or at once if what is known of them is too old. After
        that, once all unknown outcomes can be resolved.

        :param is_sending: whether leads are to be sent, now or later.
        :param attempts_in_flight: whether conversions are in flight.
        """
        if self._reading:
            return inf
        now = self._client.clock()
        if self._required_from is not None:
            return self._required_from - now
        if is_sending:
            return -inf if self._cleared.is_stale else self._read_at + HEAD_INTERVAL - now
        if attempts_in_flight or not self._ledger.resolve_times:
            return inf
        return max(self._ledger.resolve_times) - now

    def submit(self) -> None:
        """Read the head."""
        self._read_at = self._client.clock()
        self._reading = self._dispatcher.submit(partial(read_head, self._client, self.window), self._take)

    def _take(self, future: Future[ChangefeedHead]) -> Iterator[ConversionResult]:
        self._reading = None
        try:
            head = future.result()
        except LeadConversionError as error:
            self._stop.stop(error)
            return
        self._window = head.window
        if self._required_from is not None and head.read_at >= self._required_from:
            self._required_from = None
        yield from self._precheck.observe(head.rows)
        self._cleared.note_head(head.read_at)
        results, again = self._ledger.resolve(head.read_at, send_again=not self._stop.is_stopping)
        yield from results
        self._cleared.add(again, head.read_at)
