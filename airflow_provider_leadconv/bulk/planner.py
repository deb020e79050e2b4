"""Which request is next? The changefeed first, then conversions and look-ups."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf

from airflow_provider_leadconv.bulk.checking.check_requests import CheckRequests
from airflow_provider_leadconv.bulk.ledger import Ledger
from airflow_provider_leadconv.bulk.sending.head_reader import HeadReader
from airflow_provider_leadconv.bulk.sending.sender import Sender


class RequestPlanner:
    """Chooses the most urgent request, and knows when the next one is due.

    :param concurrency: conversions and look-ups in flight. One request for the changefeed comes on top.
    """

    def __init__(
        self, ledger: Ledger, check: CheckRequests, head: HeadReader, sender: Sender, *, concurrency: int
    ) -> None:
        self._ledger = ledger
        self._check = check
        self._head = head
        self._sender = sender
        self._concurrency = concurrency
        self._sent_before_head = 0

    @property
    def is_sending(self) -> bool:
        """Whether leads are to be sent, now or once they are checked or the head is read."""
        return self._sender.is_active and (self._sender.queued > 0 or self._check.is_active)

    @property
    def head_due_in(self) -> float:
        """Seconds until the changefeed's head is to be read."""
        if self._check.is_before_head:
            return inf
        return self._head.due_in(is_sending=self.is_sending, attempts_in_flight=self._sender.is_in_flight)

    def next_request(self) -> Callable[[], None] | None:
        """Return what submits the most urgent request, if there is anything to ask or to send.

        The head and the walk come first: their pages follow one after the other, so a delay cannot be made up for.
        Leads that have a result already are dropped from the queue on the way.
        """
        return self._next_of_changefeed() or self._next_of_leads()

    @property
    def _in_flight(self) -> int:
        return len(self._ledger.in_flight) + self._check.look_ups_in_flight

    def _next_of_changefeed(self) -> Callable[[], None] | None:
        if self._check.page_in_flight or self._head.is_in_flight:
            return None
        if self.head_due_in <= 0 and not self._is_send_first:
            return self._submit_head
        if (query := self._check.next_probe) and self._in_flight < self._concurrency:
            return partial(self._check.submit_probe, query)
        if query := self._check.next_page(take_turns=self._sender.is_before_first):
            return partial(self._check.submit_page, query)
        return None

    def _next_of_leads(self) -> Callable[[], None] | None:
        if self._in_flight >= self._concurrency:
            return None
        self._sender.drop_resolved()
        if self._sender.can_send and not self._is_look_up_first:
            return self._sender.submit
        return self._check.submit_look_up if self._check.can_look_up else None

    def _submit_head(self) -> None:
        self._sent_before_head = self._sender.sent
        self._head.submit()

    @property
    def _is_send_first(self) -> bool:
        """Whether a lead comes before the head, since none was sent after the last reading.

        Otherwise, if permits were further apart than readings, each would go to a reading and none to a lead.
        """
        self._sender.drop_resolved()
        is_free = self._in_flight < self._concurrency
        return is_free and self._sender.sent == self._sent_before_head and self._sender.can_send

    @property
    def _is_look_up_first(self) -> bool:
        """Whether a look-up comes before the first cleared lead.

        A look-up may prove superfluous, a conversion does not. Some cleared leads are kept in reserve, so that there is
        something to send while the last look-ups are in flight.
        """
        return self._check.can_look_up and self._sender.sent > 0 and self._sender.queued <= self._in_flight
