"""Many leads converted, each once: what to do next with which lead.

One thread, the caller's, decides; workers make requests. The API is the ledger: before the first request is sent, and
whenever one ends in doubt, the log of conversions tells what happened. No state of ours is needed for that, so a run
that follows a killed one asks the same question.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from itertools import islice
from math import inf
from typing import Any

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.converting import is_about_one_lead
from airflow_provider_leadconv.api.errors import (
    DuplicateConversionError,
    LeadConversionError,
    PermissionDeniedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.records import ConversionOutcome, ConversionRequest, Outcome
from airflow_provider_leadconv.jobs.bulk_look import first_look, second_look
from airflow_provider_leadconv.jobs.bulk_tasks import Head, attempt, read_head
from airflow_provider_leadconv.jobs.bulk_watch import Watch
from airflow_provider_leadconv.jobs.feed import Window
from airflow_provider_leadconv.jobs.ledger import Before, Ledger
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
    :param before: what is known from the run that this one goes on from.
    :param workers: what makes the requests; default: threads.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        leads: Iterable[ConversionRequest],
        *,
        concurrency: int = 16,
        before: Before | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.ledger = Ledger(leads, before or Before())
        self.stopped_by: LeadConversionError | None = None
        """Why the run ended before its last lead."""
        self._client = client
        self._todo = deque(self.ledger.leads)  # to be sent; may hold some that got an outcome meanwhile
        self._tasks: dict[Future[Any], int | None] = {}  # the lead, or None for a look at the log's head
        self._concurrency = concurrency
        self._watch = Watch(workers or Workers(concurrency + 1), log, client.clock)  # one more for the log
        self._window = Window()
        self._started = self._head_read_at = self._audit_at = client.clock()
        self._forbidden_at_first: int | None = 0
        self._stopping = False

    def settle(self) -> None:
        """Wait until the server must be done with requests that a killed run may have sent just before its end."""
        seconds = self._client.config.timeout + self._client.config.settle_time
        log.info("Waiting %.0f s, as requests of an earlier try may still be on their way", seconds)
        line = "Waiting until the server must be done with requests of an earlier try"
        self._watch.until(self._client.clock() + seconds, lambda: line)

    def look(self) -> Iterator[ConversionOutcome]:
        """Find out which leads are converted already; nothing is converted.

        :raises LeadConversionError: if the API cannot be asked.
        """
        if self.ledger.before.looked:
            self._window = yield from second_look(self._client, self.ledger, self._watch)
        else:
            self._window = yield from first_look(self._client, self.ledger, self._watch, self._concurrency)

    def convert(self) -> Iterator[ConversionOutcome]:
        """Convert what :meth:`look` left over, give every lead its outcome, and audit.

        A fault that is not one lead's (token, scope, host gone) ends the run: see :attr:`stopped_by`.
        """
        self._started = self._head_read_at = self._client.clock()
        while self._busy() and not self.killed:
            self._submit()
            if future := self._watch.next_ended(self._patience(), self._progress_line):
                yield from self._take(future)
        yield from self.abandon()
        if self.stopped_by is None:
            self._audit()

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
        self._watch.kill()

    @property
    def killed(self) -> bool:
        """Whether :meth:`kill` was called."""
        return self._watch.killed

    def abandon(self) -> Iterator[ConversionOutcome]:
        """Give an outcome to every lead that has none, without another request."""
        return self.ledger.abandon(self.stopped_by)

    def close(self) -> None:
        """Let the workers go, without waiting for what they are doing."""
        self._watch.workers.close(wait=False)

    @property
    def _sending(self) -> bool:
        return bool(self._todo) and not self._stopping

    @property
    def _reading_head(self) -> bool:
        return None in self._tasks.values()

    def _busy(self) -> bool:
        return bool(self._tasks) or (self.stopped_by is None and (self._sending or bool(self.ledger.judgements)))

    def _submit(self) -> None:
        workers = self._watch.workers
        if self._head_due_in() <= 0:
            self._head_read_at = self._client.clock()
            self._tasks[workers.submit(partial(read_head, self._client, self._window))] = None
        while self._sending and len(self.ledger.in_flight) < self._concurrency:
            lead_id = self._todo.popleft()
            if lead_id in self.ledger.open:
                lead, again = self.ledger.send(lead_id)
                if again:  # late enough to see if an earlier request converted it after all
                    self._audit_at = self._client.clock() + self._client.config.settle_time
                self._tasks[workers.submit(partial(attempt, self._client, lead, look_first=again))] = lead_id

    def _head_due_in(self) -> float:
        """While leads are sent, the head is read now and then; after that, once everything in doubt can be judged."""
        if self._reading_head:
            return inf
        if self._sending:
            return self._head_read_at + HEAD_INTERVAL - self._client.clock()
        if self._tasks or not self.ledger.judgements:
            return inf
        return max(self.ledger.judgements) - self._client.clock()

    def _patience(self) -> float:
        """Seconds until something is due even if no task ends."""
        return max(0.0, self._head_due_in()) if self._busy() else 0.0

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
        yield self.ledger.answered(result.conversion) if result.answered else self.ledger.found(result.conversion)

    def _take_head(self, head: Head) -> Iterator[ConversionOutcome]:
        self._window = head.window
        yield from self.ledger.meet(head.rows)
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
        return self.ledger.unsent(lead_id, error)

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

    def _audit(self) -> None:
        """Read the log once more, late enough to see a second conversion of a lead that was sent twice."""
        self._watch.until(self._audit_at, lambda: "Waiting to look for leads that were converted twice")
        if self.killed:
            return
        try:
            head = self._watch.result_of(
                partial(read_head, self._client, self._window), lambda: "Looking for leads that were converted twice"
            )
        except LeadConversionError as error:
            log.warning("Nobody looked for leads that were converted twice, as the log could not be read: %s", error)
            return
        if head:
            self.ledger.audit(head.rows)

    def _progress_line(self) -> str:
        counts, total, kept = self.ledger.outcomes, len(self.ledger.leads), self.ledger.kept
        done, sent = counts.total(), counts[Outcome.CONVERTED] + counts[Outcome.FAILED]
        rate = sent / max(self._client.clock() - self._started, 1e-9)
        left = f", about {max(1, round((total - done) / rate / 60))} min left" if rate else ""
        return (
            f"{done + kept} of {total + kept} leads done: {f'{kept} by an earlier try, ' if kept else ''}"
            f"{counts[Outcome.CONVERTED]} converted, "
            f"{counts[Outcome.EXISTING]} existing, {counts[Outcome.FAILED]} failed, "
            f"{len(self.ledger.doubts)} in doubt; {rate:.1f} leads/s, "
            f"{self._client.counters.throttled} requests throttled{left}"
        )
