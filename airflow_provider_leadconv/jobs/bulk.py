"""Many leads converted, each once: what to do next with which lead.

One thread, the caller's, decides; workers make requests. The API is the ledger: before the first request is sent, and
whenever one ends in doubt, the log of conversions tells what happened. No state of ours is needed for that, so a run
that follows a killed one asks the same question.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.converting import is_about_one_lead, look_up
from airflow_provider_leadconv.api.errors import (
    DuplicateConversionError,
    LeadConversionError,
    PermissionDeniedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.records import ConversionOutcome, ConversionRequest, Outcome
from airflow_provider_leadconv.api.wire import ListQuery
from airflow_provider_leadconv.jobs.bulk_tasks import Head, attempt, read_head
from airflow_provider_leadconv.jobs.feed import LogReader, Window
from airflow_provider_leadconv.jobs.heartbeat import Heartbeat
from airflow_provider_leadconv.jobs.ledger import Ledger
from airflow_provider_leadconv.jobs.workers import Workers

log = logging.getLogger(__name__)

HEAD_INTERVAL = 30.0
"""Seconds between two looks at the log's head while leads are sent."""

FORBIDDEN_AT_FIRST = 10
"""So many leads refused with 403 before any other answer: the token is the reason, not the lead."""


class BulkConversion:
    """One run over a batch of leads: :meth:`look`, then :meth:`convert`. Each lead gets one outcome.

    :param leads: each lead once, as :func:`~.leads.read_leads` makes them.
    :param concurrency: requests in flight.
    :param since: start mark of the run that this one goes on from, which had looked for everything below. Conversions
        above it count as made by this job.
    :param known: leads whose outcome that run knew, with the ids of their conversions; for the audit.
    :param workers: what makes the requests; default: threads.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        leads: Iterable[ConversionRequest],
        *,
        concurrency: int = 8,
        since: int | None = None,
        known: Mapping[int, int] | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.ledger = Ledger(leads, since=since, known=known)
        self.stopped_by: LeadConversionError | None = None
        """Why the run ended before its last lead."""
        self._client = client
        self._todo = deque(self.ledger.leads)  # to be sent; may hold some that got an outcome meanwhile
        self._tasks: dict[Future[Any], int | None] = {}  # the lead, or None for a look at the log's head
        self._concurrency = concurrency
        self._workers = workers or Workers(concurrency + 1)  # one more for the log
        self._window = Window()
        self._head_read_at = self._audit_at = client.clock()
        self._forbidden_at_first: int | None = 0
        self._stopping = False
        self._killed = threading.Event()
        self._heartbeat = Heartbeat(log, client.clock)

    def settle(self) -> None:
        """Wait until the server must be done with requests that a killed run may have sent just before its end."""
        until = self._client.clock() + self._client.config.timeout + self._client.config.settle_time
        self._wait(until)

    def look(self) -> Iterator[ConversionOutcome]:
        """Find out which leads are converted already; nothing is converted.

        Walks the log, 200 conversions a request, for at most as many pages as there are leads, then looks up what is
        left. A run that goes on from another one only reads what came since.

        :raises LeadConversionError: if the API cannot be asked.
        """
        ledger = self.ledger
        reader = LogReader(Window(floor=ledger.start_mark))
        lowest, reached_end = 0, True
        for number, page in enumerate(self._client.list_pages(ListQuery()), 1):
            if number == 1 and not ledger.continues:
                ledger.start_mark = page[0].id if page else 0
            yield from ledger.meet(reader.take(page))
            lowest = page[-1].id if page else lowest
            if reader.finished:
                break
            if not ledger.open or number >= len(ledger.leads) or self.killed:
                reached_end = False
                break
            self._heartbeat.tell(
                partial("Looking for conversions: {} pages read, down to id {}".format, number, lowest)
            )
        window = reader.window()
        self._window = window if window.floor or reached_end else msgspec.structs.replace(window, floor=lowest - 1)
        if not reached_end:
            yield from self._look_up_open()
        self._head_read_at = self._client.clock()

    def convert(self) -> Iterator[ConversionOutcome]:
        """Convert what :meth:`look` left over, give every lead its outcome, and audit.

        A fault that is not one lead's (token, scope, host gone) ends the run: see :attr:`stopped_by`.
        """
        self._heartbeat = Heartbeat(log, self._client.clock)  # the first look is counted apart
        try:
            while self._busy() and not self.killed:
                self._submit()
                if future := self._workers.next_ended(self._patience()):
                    yield from self._take(future)
                self._heartbeat.tell(self._progress_line)
            yield from self.abandon()
            if not self.killed and self.stopped_by is None:
                self._audit()
        finally:
            self._workers.close(wait=False)

    def check(self) -> None:
        """Make a breach or an early end an error.

        :raises DuplicateConversionError: if a lead was converted twice.
        :raises LeadConversionError: that ended the run early.
        """
        if duplicates := self.ledger.duplicates:
            some = "; ".join(f"lead {lead}: conversions {sorted(ids)}" for lead, ids in islice(duplicates.items(), 10))
            raise DuplicateConversionError(f"{len(duplicates)} leads were converted twice while this ran: {some}")
        if self.stopped_by:
            raise self.stopped_by

    def stop(self) -> None:
        """Send nothing more, but settle what is in flight or in doubt."""
        self._stopping = True

    def kill(self) -> None:
        """End now: what is in flight or in doubt ends as ``unknown``. Safe in a signal handler."""
        self._killed.set()
        self._workers.wake()

    @property
    def killed(self) -> bool:
        """Whether :meth:`kill` was called."""
        return self._killed.is_set()

    def abandon(self) -> Iterator[ConversionOutcome]:
        """Give an outcome to every lead that has none, without another request."""
        return self.ledger.abandon(set(self._tasks.values()), self.stopped_by)

    @property
    def _sending(self) -> bool:
        return bool(self._todo) and not self._stopping

    def _busy(self) -> bool:
        return bool(self._tasks) or (self.stopped_by is None and (self._sending or bool(self.ledger.judgements)))

    def _submit(self) -> None:
        if self._head_is_due():
            self._head_read_at = self._client.clock()
            self._tasks[self._workers.submit(partial(read_head, self._client, self._window))] = None
        while self._sending and sum(lead_id is not None for lead_id in self._tasks.values()) < self._concurrency:
            lead_id = self._todo.popleft()
            if lead_id in self.ledger.open:
                lead, in_doubt = self.ledger.leads[lead_id], lead_id in self.ledger.doubts
                self._tasks[self._workers.submit(partial(attempt, self._client, lead, look_first=in_doubt))] = lead_id

    def _head_is_due(self) -> bool:
        """While leads are sent, the head is read now and then; after that, once everything in doubt can be judged."""
        if None in self._tasks.values():
            return False
        if self._sending:
            return self._client.clock() >= self._head_read_at + HEAD_INTERVAL
        judgements = self.ledger.judgements
        return not self._tasks and bool(judgements) and self._client.clock() >= max(judgements)

    def _patience(self) -> float:
        """Seconds until something is due even if no task ends."""
        due = [self._heartbeat.due_in]
        if self._sending:
            due.append(self._head_read_at + HEAD_INTERVAL - self._client.clock())
        elif not self._tasks:
            due.append(max(self.ledger.judgements, default=0.0) - self._client.clock())
        return max(0.0, min(due))

    def _take(self, future: Future[Any]) -> Iterator[ConversionOutcome]:
        lead_id = self._tasks.pop(future)
        try:
            result = future.result()
        except LeadConversionError as error:
            if lead_id is None:
                self._halt(error)
            elif outcome := self._take_failure(lead_id, error):
                yield outcome
            return
        if isinstance(result, Head):
            yield from self._take_head(result)
            return
        self._forbidden_at_first = None
        if result.conversion.lead_id in self.ledger.doubts:
            self._audit_at = self._client.clock() + self._client.config.settle_time
        yield self.ledger.answered(result.conversion) if result.answered else self.ledger.found(result.conversion)

    def _take_head(self, head: Head) -> Iterator[ConversionOutcome]:
        self._window = head.window
        yield from self.ledger.meet(head.rows, self._tasks.values())
        ended, again = self.ledger.judge(head.read_at, send_again=not self._stopping)
        yield from ended
        self._todo.extend(again)

    def _take_failure(self, lead_id: int, error: LeadConversionError) -> ConversionOutcome | None:
        config, now = self._client.config, self._client.clock()
        if isinstance(error, UnknownOutcomeError):
            sent_at = now if error.sent_at is None else error.sent_at
            return self.ledger.unanswered(lead_id, error, sent_at + config.timeout + config.settle_time)
        if is_about_one_lead(error):
            self._note_forbidden(error)
            return self.ledger.refused(lead_id, error, now + config.settle_time)
        self._halt(error)
        outcome = Outcome.UNKNOWN if lead_id in self.ledger.doubts else Outcome.NOT_ATTEMPTED
        return self.ledger.end(lead_id, outcome, error=error)

    def _note_forbidden(self, error: LeadConversionError) -> None:
        if not isinstance(error, PermissionDeniedError):
            self._forbidden_at_first = None
        elif self._forbidden_at_first is not None:
            self._forbidden_at_first += 1
            if self._forbidden_at_first >= FORBIDDEN_AT_FIRST:
                self._halt(error)

    def _halt(self, error: LeadConversionError) -> None:
        self.stopped_by = self.stopped_by or error
        self._stopping = True

    def _look_up_open(self) -> Iterator[ConversionOutcome]:
        left = deque(lead_id for lead_id in self.ledger.leads if lead_id in self.ledger.open)
        running: set[Future[Any]] = set()
        while (left or running) and not self.killed:
            while left and len(running) < self._concurrency:
                running.add(self._workers.submit(partial(look_up, self._client, left.popleft())))
            if future := self._workers.next_ended(self._heartbeat.due_in):
                running.discard(future)
                if found := future.result():
                    yield from self.ledger.meet([found])
            self._heartbeat.tell(lambda: f"Looking leads up: {len(left)} of {len(self.ledger.leads)} left")

    def _audit(self) -> None:
        """Read the log once more, late enough to see a second conversion of a lead that was sent twice."""
        self._wait(self._audit_at)
        try:
            self.ledger.audit(read_head(self._client, self._window).rows)
        except LeadConversionError as error:
            log.warning("The closing audit for leads converted twice could not be made: %s", error)

    def _wait(self, until: float) -> None:
        while (left := until - self._client.clock()) > 0 and not self.killed:
            self._workers.next_ended(left)

    def _progress_line(self) -> str:
        counts, total = self.ledger.outcomes, len(self.ledger.leads)
        done, sent = counts.total(), counts[Outcome.CONVERTED] + counts[Outcome.FAILED]
        rate = sent / self._heartbeat.elapsed
        left = f", about {(total - done) / rate / 60:.0f} min left" if rate else ""
        return (
            f"{done} of {total} leads done: {counts[Outcome.CONVERTED]} converted, "
            f"{counts[Outcome.EXISTING]} existing, {counts[Outcome.FAILED]} failed, "
            f"{len(self.ledger.doubts)} in doubt; {rate:.1f} leads/s, "
            f"{self._client.counters.throttled} requests throttled{left}"
        )
