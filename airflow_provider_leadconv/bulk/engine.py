"""Bulk conversion, each lead at most once: the run from its first request to its last.

One thread, the caller's, decides; workers make requests. The API is the source of truth: before a lead is sent, and
whenever the outcome of a request is unknown, the changefeed or a look-up shows whether the lead is converted. From the
journal and the marker of a run, the next one knows whether to wait first, and which conversions are its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import DuplicateConversionError, LeadConversionError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult
from airflow_provider_leadconv.bulk.checking.check_requests import CheckRequests
from airflow_provider_leadconv.bulk.checking.cleared_leads import ClearedLeads, check_rate
from airflow_provider_leadconv.bulk.checking.precheck import Precheck
from airflow_provider_leadconv.bulk.ledger import Ledger, ResumeState
from airflow_provider_leadconv.bulk.milestones import Milestones, RunObserver
from airflow_provider_leadconv.bulk.permits import Permits
from airflow_provider_leadconv.bulk.planner import RequestPlanner
from airflow_provider_leadconv.bulk.progress_line import ProgressLine, waiting_line
from airflow_provider_leadconv.bulk.sending.audit import Audit
from airflow_provider_leadconv.bulk.sending.head_reader import HeadReader
from airflow_provider_leadconv.bulk.sending.sender import Sender
from airflow_provider_leadconv.bulk.sending_marker import ConstantMarker, SendingMarker
from airflow_provider_leadconv.bulk.stop_state import StopState
from airflow_provider_leadconv.bulk.suspension import SuspensionDetector
from airflow_provider_leadconv.bulk.workers import Dispatcher, Workers
from airflow_provider_leadconv.progress import Progress
from airflow_provider_leadconv.storage.lease import Lease

log = logging.getLogger(__name__)


class BulkConversion:
    """One run over a batch of leads: :meth:`convert`, maybe after :meth:`precheck`. Each lead gets one result.

    :param leads: each lead once, as :func:`~.inputs.read_leads` makes them.
    :param concurrency: requests in flight.
    :param resume_state: what is known from the run that this one continues.
    :param marker: whether an earlier process may have left requests behind; default: it did not.
    :param observer: is notified of the start watermark, and of the end of the pre-check.
    :param workers: make the requests; default: threads.
    :param suspension: notices when the process was suspended.
    :param lease: notices when another process has taken over; ``None`` if it cannot be known.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        leads: Iterable[ConversionRequest],
        *,
        concurrency: int = 16,
        resume_state: ResumeState | None = None,
        marker: SendingMarker | None = None,
        observer: RunObserver | None = None,
        workers: Workers | None = None,
        suspension: SuspensionDetector | None = None,
        lease: Lease | None = None,
    ) -> None:
        self.ledger = Ledger(leads, resume_state or ResumeState())
        self._client = client
        self._lease = lease
        self._dispatcher = Dispatcher(
            workers or Workers(concurrency + 1),  # one more for the changefeed
            log,
            client.clock,
            suspension or SuspensionDetector.ticking(),
            lease,
        )
        self._stop = StopState()
        self._milestones = Milestones(
            self.ledger, self._dispatcher, marker or ConstantMarker(is_set=False), observer or RunObserver()
        )
        cleared = ClearedLeads(client.clock)
        self._precheck = Precheck(client.config, self.ledger, cleared)
        self._check = CheckRequests(client, self._dispatcher, self._precheck, self._milestones, self._stop)
        self._head = HeadReader(client, self._dispatcher, self.ledger, cleared, self._precheck, self._stop)
        self._audit = Audit(client, self._dispatcher, self.ledger, self._head)
        self._sender = Sender(client, self._dispatcher, self.ledger, cleared, self._head, self._audit, self._stop)
        self._planner = RequestPlanner(self.ledger, self._check, self._head, self._sender, concurrency=concurrency)
        self._permits = Permits(client)
        self._progress = ProgressLine(client, self.ledger)
        self._is_begun = False

    def precheck(self) -> Iterator[ConversionResult]:
        """Find out which leads are already converted; nothing is converted.

        If an earlier process may have left requests behind, wait ``timeout + settle_time`` first, and the lease before
        that if it did not release its claim.

        :raises LeadConversionError: if the API cannot be read.
        """
        self._begin()
        while (self._check.is_active or self._check.is_in_flight) and not self.killed:
            yield from self._advance()
            if self.stopped_by:  # the changefeed's head could not be read after a suspension
                raise self.stopped_by

    def convert(self) -> Iterator[ConversionResult]:
        """Convert each lead that is not converted, give every lead its result, and audit.

        A lead is sent as soon as :meth:`precheck` has cleared it, which goes on meanwhile if it was not called before.
        An error that does not concern one lead alone (token, scope, host gone) ends the run: see :attr:`stopped_by`.

        :raises ConnectionConfigError: if the connection's rate is too low.
        :raises LeadConversionError: if the API cannot be read, before the first conversion was sent.
        """
        check_rate(self._client.config)
        self._begin()
        self._sender.start()
        self._progress.start()
        while self._is_busy and not self.killed:
            yield from self._advance()
        is_complete = not (self.killed or self._sender.is_in_flight)
        yield from self.abandon()
        if self.stopped_by is None:
            self._audit.run()
        if is_complete and self.ledger.is_settled:
            self._milestones.note_all_resolved()

    def raise_for_failure(self) -> None:
        """Raise an error if a lead was converted twice or the run ended early.

        :raises DuplicateConversionError: if a lead was converted twice.
        :raises LeadConversionError: that ended the run early.
        """
        if duplicates := self.ledger.duplicates:
            some = "; ".join(f"lead {lead}: conversions {sorted(ids)}" for lead, ids in islice(duplicates.items(), 10))
            raise DuplicateConversionError(f"{len(duplicates)} leads were converted twice while this ran: {some}")
        if self.stopped_by:
            raise self.stopped_by

    @property
    def stopped_by(self) -> LeadConversionError | None:
        """Why the run ended before its last lead."""
        return self._stop.error

    def stop(self) -> None:
        """Send nothing more, but resolve what is in flight or unknown."""
        self._stop.stop()

    def kill(self) -> None:
        """End now: what is in flight or unknown ends as ``unknown``. Safe in a signal handler."""
        self._dispatcher.kill()

    @property
    def killed(self) -> bool:
        """Whether :meth:`kill` was called."""
        return self._dispatcher.killed

    def abandon(self) -> Iterator[ConversionResult]:
        """Give a result to every lead that has none, without another request."""
        return self.ledger.abandon(self.stopped_by)

    def close(self) -> None:
        """Let the workers go without waiting for what they are doing."""
        self._dispatcher.close()

    def _begin(self) -> None:
        """Wait for in-flight requests of an earlier process: a check shows what it has converted only after that."""
        if not self._is_begun:
            self._is_begun = True
            self._wait_for_in_flight_requests()
            self._head.start()

    def _wait_for_in_flight_requests(self) -> None:
        """Wait until the server has finished the requests that an earlier process may have left behind."""
        if not self._milestones.may_have_requests_in_flight:
            return
        seconds = self._client.config.timeout + self._client.config.settle_time
        if self._lease:
            seconds += self._lease.takeover_wait  # for so long, that process may go on sending
        log.info("Waiting %.0f s for in-flight requests of the previous attempt", seconds)
        end = self._client.clock() + seconds
        line = waiting_line("for in-flight requests of the previous attempt", end, seconds, self._client.clock)
        self._dispatcher.wait_until(end, line)

    def _advance(self) -> Iterator[ConversionResult]:
        """Submit what can be submitted, and take what completes next."""
        self._head.check_suspension()
        self._sender.drop_resolved()
        if self._sender.can_send:
            self._milestones.note_sending()
        self._submit_requests()
        if results := self._dispatcher.next_results(self._seconds_until_next_event(), self._progress_line):
            yield from results
            if not self._precheck.is_running:
                self._milestones.note_all_checked(self._check.count)

    def _submit_requests(self) -> None:
        """Submit one request after the other, most urgent first, while there is one and it has a permit."""
        while submit := self._planner.next_request():
            if not self._permits.take():
                return
            submit()

    @property
    def _is_busy(self) -> bool:
        if self._sender.is_in_flight or self._head.is_in_flight:
            return True
        if self.stopped_by is not None:
            return False
        return self._check.is_active or self._planner.is_sending or bool(self.ledger.resolve_times)

    def _seconds_until_next_event(self) -> float:
        """Seconds until something is due even if no task completes."""
        if not (self._is_busy or self._check.is_in_flight):
            return 0.0
        if self._planner.next_request():
            return self._permits.due_in
        return max(0.0, self._planner.head_due_in)

    def _progress_line(self) -> Progress:
        return self._progress.line(len(self.ledger.leads) - self._precheck.checked)
