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

log = logging.getLogger(__name__)

_SHOWN_LEADS = 10
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


class BulkRun:
    """One run of a batch.

    :param leads: each lead once.
    :param results: where the outcomes are kept; ``None`` to keep none.
    :param concurrency: requests in flight.
    :param may_follow_killed_run: whether an earlier process may still have requests on their way.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        leads: Sequence[ConversionRequest],
        results: Results | None = None,
        *,
        concurrency: int = 8,
        may_follow_killed_run: bool = False,
    ) -> None:
        known = results.known if results else {}
        self.summary = Summary(leads=len(leads))
        self.bad: list[ConversionOutcome] = []
        """The first leads that were not converted."""
        self.codes: Counter[str] = Counter()
        """How many leads failed with which code."""
        self._client = client
        self._results = results
        self._settle_first = may_follow_killed_run or bool(results and results.unfinished)
        self._job = BulkConversion(
            client,
            [lead for lead in leads if lead.lead_id not in known],
            concurrency=concurrency,
            since=results.start_mark if results else None,
            known=known,
        )

    def run(self, *, precondition: bool = False, dry_run: bool = False, fail_fast: int | None = None) -> None:
        """Look, convert, publish the results. Whatever happens, each lead's outcome is kept first.

        :param precondition: convert nothing if a lead is converted already.
        :param dry_run: convert nothing, only tell what would be.
        :param fail_fast: stop once more leads than this failed; ``None``: go on to the last.
        :raises InvalidRequestError: if the precondition does not hold.
        :raises LeadConversionError: if the API could not be asked what is converted already.
        """
        started = self._client.clock()
        try:
            self._look(started)
            if dry_run:
                self._tell_what_would_be()
            elif precondition and self.summary.existing:
                self._refuse()
            else:
                self._convert(fail_fast)
        except LeadConversionError:
            self._abandon()
            self._publish()
            raise
        except BaseException:  # a task that timed out or was interrupted has seconds to live
            self._abandon()
            raise
        finally:
            self.summary.duration_s = round(self._client.clock() - started, 3)
            self.summary.api_calls = self._client.counters.requests
            self.summary.duplicate = len(self._job.ledger.duplicates)
        if not self._job.killed:
            self._publish()

    def kill(self) -> None:
        """End now, as the worker will be gone in seconds. Safe in a signal handler."""
        self._job.kill()

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
        if self._settle_first:
            log.info("An earlier try may have requests on their way: waiting until the server must be done with them")
            self._job.settle()
        self._keep(self._job.look())
        if self._results and not self._job.killed:
            self._results.note_start_mark(self._job.ledger.start_mark)
        self.summary.look_api_calls = self._client.counters.requests
        self.summary.look_duration_s = round(self._client.clock() - started, 3)
        log.info(
            "%d of %d leads are converted already (%d requests in %.1f s)",
            self.summary.converted + self.summary.existing,
            self.summary.leads,
            self.summary.look_api_calls,
            self.summary.look_duration_s,
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

    def _abandon(self) -> None:
        self._keep(self._job.abandon())
        if self._results:
            self._results.flush()

    def _publish(self) -> None:
        if self._results:
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
            if len(self.bad) < _SHOWN_LEADS:
                self.bad.append(outcome)

    def _evidence(self) -> str:
        summary = self.summary
        parts = [f"{summary.failed + summary.unknown} of {summary.leads} leads were not converted"]
        if self.codes:
            parts[0] += " (" + ", ".join(f"{count} x {code}" for code, count in self.codes.most_common(10)) + ")"
        if summary.not_attempted:
            reason = f", because the run was stopped: {self._job.stopped_by}" if self._job.stopped_by else ""
            parts.append(f"{summary.not_attempted} were not attempted{reason}")
        if self.bad:
            shown = "; ".join(f"lead {outcome.lead_id} {outcome.outcome}: {_reason(outcome)}" for outcome in self.bad)
            parts.append(f"the first of them: {shown}")
        return "; ".join(parts)


def allowed_failures(max_failures: float | None, leads: int) -> float:
    """:return: how many of the leads may fail."""
    if max_failures is None:
        return leads
    return max_failures * leads if isinstance(max_failures, float) else max_failures


def _code(outcome: ConversionOutcome) -> str:
    error = outcome.error
    if outcome.outcome is Outcome.UNKNOWN or error is None:
        return "unknown"
    return " ".join(str(part) for part in (error.status, error.code) if part)


def _reason(outcome: ConversionOutcome) -> str:
    return outcome.error.message if outcome.error else "no reason known"
