"""Conversions: which cleared lead is sent, and what follows from the outcome of its request."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from airflow_provider_leadconv.api.at_most_once import ConfirmedConversion, concerns_one_lead, send_conversion
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import (
    LeadConversionError,
    PermissionDeniedError,
    RequestNotSentError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.models import ConversionResult
from airflow_provider_leadconv.bulk.checking.cleared_leads import ClearedLeads
from airflow_provider_leadconv.bulk.ledger import Ledger
from airflow_provider_leadconv.bulk.sending.audit import Audit
from airflow_provider_leadconv.bulk.sending.forbidden_guard import ForbiddenGuard
from airflow_provider_leadconv.bulk.sending.head_reader import HeadReader
from airflow_provider_leadconv.bulk.stop_state import StopState
from airflow_provider_leadconv.bulk.workers import Dispatcher


class _Attempt(NamedTuple):
    """A conversion in flight.

    :param checked_at: when the check began that showed that the lead is not converted.
    :param suspensions: how often the process had been suspended when it was decided to send it.
    """

    lead_id: int
    checked_at: float
    suspensions: int


class Sender:
    """Sends the cleared leads, once :meth:`start` was called.

    :param ledger: receives the outcomes.
    :param cleared: the leads to send.
    :param head: knows whether it must be read before anything is sent.
    :param audit: is scheduled so late that it sees what a lead's earlier requests have converted.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        dispatcher: Dispatcher,
        ledger: Ledger,
        cleared: ClearedLeads,
        head: HeadReader,
        audit: Audit,
        stop: StopState,
    ) -> None:
        self.sent = 0
        """How many conversions were submitted."""
        self._client = client
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._cleared = cleared
        self._head = head
        self._audit = audit
        self._stop = stop
        self._is_started = False
        self._attempts: dict[Future[ConfirmedConversion], _Attempt] = {}
        self._forbidden_guard = ForbiddenGuard()

    def start(self) -> None:
        """Send leads from now on."""
        self._is_started = True

    @property
    def is_active(self) -> bool:
        """Whether leads are sent as soon as they are cleared."""
        return self._is_started and not self._stop.is_stopping

    @property
    def is_before_first(self) -> bool:
        """Whether leads are to be sent, and none was."""
        return self._is_started and self.sent == 0

    @property
    def is_in_flight(self) -> bool:
        """Whether conversions are in flight."""
        return bool(self._attempts)

    @property
    def queued(self) -> int:
        """How many cleared leads wait to be sent."""
        return len(self._cleared)

    def drop_resolved(self) -> None:
        """Drop leads that have a result already from the front of the queue."""
        self._cleared.drop_all_but(self._ledger.unresolved)

    @property
    def can_send(self) -> bool:
        """Whether the first cleared lead may be sent now, unless it has a result; see :meth:`drop_resolved`."""
        return (
            self.is_active
            and bool(self._cleared)
            and not self._cleared.is_stale
            and not self._head.is_required
            and self._ledger.start_watermark is not None
        )

    def submit(self) -> None:
        """Send the first cleared lead."""
        self.sent += 1
        lead_id, checked_at = self._cleared.pop()
        lead, again = self._ledger.send(lead_id)
        if again:  # late enough to see if an earlier request converted it after all
            self._audit.schedule(self._client.clock() + self._client.config.settle_time)
        attempt = _Attempt(lead_id, checked_at, self._head.known_suspensions)
        may_send = partial(self._may_send, attempt)
        task = partial(send_conversion, self._client, lead, look_up_first=again, may_send=may_send)
        self._attempts[self._dispatcher.submit(task, self._take)] = attempt

    def _may_send(self, attempt: _Attempt) -> bool:
        """Return whether what is known of a lead still holds. Workers ask right before they send."""
        return (
            self._dispatcher.may_send(attempt.suspensions)
            and self._cleared.is_fresh(attempt.checked_at)
            and not self._ledger.is_observed_in_flight(attempt.lead_id)
        )

    def _take(self, future: Future[ConfirmedConversion]) -> Iterator[ConversionResult]:
        attempt = self._attempts.pop(future)
        try:
            confirmed = future.result()
        except LeadConversionError as error:
            if result := self._take_error(attempt, error):
                yield result
            return
        self._forbidden_guard.responded()
        yield self._ledger.converted(confirmed)

    def _take_error(self, attempt: _Attempt, error: LeadConversionError) -> ConversionResult | None:
        """Return the lead's result; ``None`` if it has none yet."""
        lead_id = attempt.lead_id
        if isinstance(error, RequestNotSentError):
            self._cleared.add([lead_id], attempt.checked_at)
            return self._ledger.held_back(lead_id)
        if isinstance(error, UnknownOutcomeError):
            return self._take_unknown(attempt, error)
        if concerns_one_lead(error):
            return self._take_refusal(lead_id, error)
        self._stop.stop(error)
        return self._ledger.had_no_effect(lead_id, error)

    def _take_unknown(self, attempt: _Attempt, error: UnknownOutcomeError) -> ConversionResult | None:
        config, now = self._client.config, self._client.clock()
        if self._dispatcher.suspensions != attempt.suspensions:
            # Maybe it was sent only when the process went on, for a lead that others had converted meanwhile.
            error.sent_at = now
            self._audit.schedule(now + config.timeout + config.settle_time)
        return self._ledger.unknown(attempt.lead_id, error, config=config, now=now)

    def _take_refusal(self, lead_id: int, error: LeadConversionError) -> ConversionResult | None:
        now = self._client.clock()
        if not isinstance(error, PermissionDeniedError):
            self._forbidden_guard.responded()
        elif self._forbidden_guard.forbidden():
            self._stop.stop(error)
        return self._ledger.refused(lead_id, error, config=self._client.config, now=now)
