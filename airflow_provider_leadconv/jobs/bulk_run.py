"""A bulk conversion from the first look to the verdict: results kept, counted, published, and judged by a policy."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.errors import (
    DuplicateConversionError,
    InvalidRequestError,
    LeadConversionError,
    LeadsNotConvertedError,
)
from airflow_provider_leadconv.api.records import ConversionOutcome, ConversionRequest, Outcome
from airflow_provider_leadconv.jobs.bulk import BulkConversion
from airflow_provider_leadconv.jobs.leads import WOULD_CONVERT
from airflow_provider_leadconv.jobs.results import Results
from airflow_provider_leadconv.jobs.workers import Workers

log = logging.getLogger(__name__)

_SHOWN = 10
_SHOWN_REASON = 200
_BAD = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED)


class Summary(msgspec.Struct, kw_only=True):
    """The numbers of a run.

    :param leads: how many leads the batch has, each counted once.
    :param duplicate: how many of them have more than one conversion.
    :param look_api_calls: requests to find out what is converted already, before the first conversion.
    """

    leads: int
    converted: int = 0
    existing: int = 0
    failed: int = 0
    unknown: int = 0
    not_attempted: int = 0
    would_convert: int = 0
    duplicate: int = 0
    api_calls: int = 0
    look_api_calls: int = 0
    duration_s: float = 0.0
    look_duration_s: float = 0.0

    def __str__(self) -> str:
        words = (Outcome.CONVERTED, Outcome.EXISTING, Outcome.FAILED, Outcome.UNKNOWN, Outcome.NOT_ATTEMPTED)
        counts = {word.value.replace("_", " "): getattr(self, word.value) for word in words}
        counts |= {"would be converted": self.would_convert, "CONVERTED TWICE": self.duplicate}
        told = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
        return f"{self.leads} leads: {told}; {self.api_calls} requests in {self.duration_s:.1f} s"


class BulkRun:
    """One run of a batch.

    :param leads: each lead once.
    :param results: where the outcomes are kept; ``None`` to keep none.
    :param concurrency: requests in flight.
    :param may_follow_killed_run: whether an earlier process may still have requests on their way.
    :param workers: what makes the requests; default: threads.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        leads: Sequence[ConversionRequest],
        results: Results | None = None,
        *,
        concurrency: int = 16,
        may_follow_killed_run: bool = False,
        workers: Workers | None = None,
    ) -> None:
        self.summary = Summary(leads=len(leads))
        self.bad: list[ConversionOutcome] = []
        """The first leads that were not converted."""
        self.codes: Counter[str] = Counter()
        """How many leads failed with which code."""
        self._client = client
        self._results = results
        self._goes_on = may_follow_killed_run or bool(results and results.unfinished)
        before = results.before if results else None
        self._job = BulkConversion(client, leads, concurrency=concurrency, before=before, workers=workers)

    def run(self, *, precondition: bool = False, dry_run: bool = False, fail_fast: int | None = None) -> None:
        """Look, convert, publish the results. Whatever happens, each lead's outcome is kept first.

        :param precondition: convert nothing if a lead is converted already, unless an earlier process may have done it.
        :param dry_run: convert nothing, only tell what would be.
        :param fail_fast: stop once more leads than this failed; ``None``: go on to the last.
        :raises InvalidRequestError: if the precondition does not hold.
        :raises LeadConversionError: if the API could not be asked what is converted already.
        """
        started = self._client.clock()
        try:
            self._look(started)
            if dry_run and not self._job.killed:
                self._tell_what_would_be()
            elif precondition and not self._goes_on and self.summary.existing:
                self._refuse()
            else:
                self._convert(fail_fast)
            self._publish()
        except LeadConversionError:
            self._keep(self._job.abandon())
            self._publish()
            raise
        except BaseException:  # a task that timed out or was interrupted has seconds to live
            self._keep(self._job.abandon())
            raise
        finally:
            self._job.close()
            if self._results:
                self._results.close()
            self.summary.duration_s = round(self._client.clock() - started, 3)
            self.summary.api_calls = self._client.counters.requests
            self.summary.duplicate = len(self._job.ledger.duplicates)

    def kill(self) -> None:
        """End now, as the worker will be gone in seconds. Safe in a signal handler."""
        self._job.kill()

    @property
    def stopped_by(self) -> LeadConversionError | None:
        """Why the run ended before its last lead."""
        return self._job.stopped_by

    def verdict(self, max_failures: float | None) -> LeadConversionError | None:
        """Judge the run.

        :param max_failures: how many leads may end as ``failed`` or ``unknown``: a number if an int, a share if a
            float, any number if ``None``.
        :return: what is wrong with it, if anything is.
        """
        summary = self.summary
        try:
            self._job.check()
        except DuplicateConversionError as error:
            return error
        except LeadConversionError:
            return LeadsNotConvertedError(self._evidence())
        failures = summary.failed + summary.unknown
        if summary.not_attempted == 0 and failures <= allowed_failures(max_failures, summary.leads):
            return None
        return LeadsNotConvertedError(self._evidence())

    def _look(self, started: float) -> None:
        if self._results:
            self.summary.converted += self._results.kept[Outcome.CONVERTED]
            self.summary.existing += self._results.kept[Outcome.EXISTING]
        if self._goes_on:
            self._job.settle()
        log.info("Looking which of %d leads are converted already", self.summary.leads)
        self._keep(self._job.look())
        if self._results and not self._job.killed:
            self._results.note_look(self._job.ledger.start_mark)
        self.summary.look_api_calls = self._client.counters.requests
        self.summary.look_duration_s = round(self._client.clock() - started, 3)
        existing = self.summary.converted + self.summary.existing
        log.info(
            "%d of %d leads are converted already (%d requests in %.1f s); %d are to be converted",
            existing,
            self.summary.leads,
            self.summary.look_api_calls,
            self.summary.look_duration_s,
            len(self._job.ledger.open),
        )

    def _convert(self, fail_fast: int | None) -> None:
        for outcome in self._job.convert():
            self._keep([outcome])
            if fail_fast is not None and self.summary.failed + self.summary.unknown > fail_fast:
                self._job.stop()

    def _tell_what_would_be(self) -> None:
        for outcome in self._job.abandon():
            self.summary.would_convert += 1
            if self._results:
                self._results.add(outcome, WOULD_CONVERT)

    def _refuse(self) -> None:
        raise InvalidRequestError(
            f"{self.summary.existing} of {self.summary.leads} leads are converted already, which on_existing='fail' "
            "forbids; nothing was converted. Remove them from the input, or use on_existing='skip'"
        )

    def _publish(self) -> None:
        """Publish the results, unless the run was killed before every lead had its turn: the next try goes on."""
        unfinished = self.summary.unknown + self.summary.not_attempted
        if self._results and not (self._job.killed and unfinished):
            self._results.publish()

    def _keep(self, outcomes: Iterable[ConversionOutcome]) -> None:
        for outcome in outcomes:
            name = outcome.outcome.value
            setattr(self.summary, name, getattr(self.summary, name) + 1)
            if outcome.outcome in _BAD:
                self._note(outcome)
            if self._results:
                self._results.add(outcome)

    def _note(self, outcome: ConversionOutcome) -> None:
        if outcome.outcome is not Outcome.NOT_ATTEMPTED:
            self.codes[_code(outcome)] += 1
            if len(self.bad) < _SHOWN:
                self.bad.append(outcome)

    def _evidence(self) -> str:
        summary = self.summary
        lines = []
        if failures := summary.failed + summary.unknown:
            codes = ", ".join(f"{count} x {code}" for code, count in self.codes.most_common(_SHOWN))
            lines.append(f"{failures} of {summary.leads} leads were not converted: {codes}")
            lines += [f"  lead {bad.lead_id} {bad.outcome}: {_reason(bad)}" for bad in self.bad]
            if failures > len(self.bad):
                lines.append(f"  and {failures - len(self.bad)} more")
        if summary.not_attempted:
            reason = str(self._job.stopped_by or "the run was stopped").rstrip(".")
            lines.append(f"{summary.not_attempted} of {summary.leads} leads were not attempted: {reason}")
        return "\n".join(lines)


def allowed_failures(max_failures: float | None, leads: int) -> int:
    """:return: how many of the leads may fail."""
    if max_failures is None:
        return leads
    # 0.29 of 100 is 28.999999999999996
    return int(max_failures * leads + 1e-9) if isinstance(max_failures, float) else max_failures


def _code(outcome: ConversionOutcome) -> str:
    error = outcome.error
    if outcome.outcome is Outcome.UNKNOWN or error is None:
        return "unknown"
    fields = [entry.field.rpartition("/")[2] for entry in error.field_errors[:1] if entry.field]
    return " ".join(str(part) for part in (error.status, error.code, *fields) if part)


def _reason(outcome: ConversionOutcome) -> str:
    reason = outcome.error.message if outcome.error else "no reason known"
    return reason if len(reason) <= _SHOWN_REASON else f"{reason[:_SHOWN_REASON]}..."
