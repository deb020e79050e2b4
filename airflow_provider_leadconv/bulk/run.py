"""One bulk conversion from start to end: pre-check, convert, publish the results, decide whether the task fails."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from typing_extensions import override

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import (
    DuplicateConversionError,
    InvalidRequestError,
    LeadConversionError,
    LeadsNotConvertedError,
)
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus
from airflow_provider_leadconv.bulk.engine import BulkConversion
from airflow_provider_leadconv.bulk.inputs import WOULD_CONVERT
from airflow_provider_leadconv.bulk.milestones import RunObserver
from airflow_provider_leadconv.bulk.outputs.results import JournalMarker
from airflow_provider_leadconv.bulk.outputs.transient import TransientResults
from airflow_provider_leadconv.bulk.sending_marker import AnyMarker, ConstantMarker, SendingMarker
from airflow_provider_leadconv.bulk.summary import Failures, Summary
from airflow_provider_leadconv.bulk.suspension import SuspensionDetector
from airflow_provider_leadconv.bulk.workers import Workers
from airflow_provider_leadconv.progress import Progress
from airflow_provider_leadconv.storage.base import ConcurrentRunError

log = logging.getLogger(__name__)


class BulkRun(RunObserver):
    """One run of a batch.

    :param leads: each lead once.
    :param results: where the results are kept; ``None`` to keep none.
    :param concurrency: requests in flight.
    :param marker: whether an earlier process of this run may have left requests behind, in addition to the journal of
        the results.
    :param wait_first: wait for requests that another run may have left behind.
    :param workers: make the requests; default: threads.
    :param suspension: notices when the process was suspended.
    """

    def __init__(
        self,
        client: LeadConversionsClient,
        leads: Sequence[ConversionRequest],
        results: TransientResults | None = None,
        *,
        concurrency: int = 16,
        marker: SendingMarker | None = None,
        wait_first: bool = False,
        workers: Workers | None = None,
        suspension: SuspensionDetector | None = None,
    ) -> None:
        self.summary = Summary(leads=len(leads))
        self._failures = Failures()
        self._client = client
        self._started = client.clock()
        self._results = results
        marker = marker or ConstantMarker(is_set=False)
        if results:
            marker = AnyMarker(JournalMarker(results), marker)
        self._is_resumed = marker.is_set() or bool(results and results.unfinished)
        self._job = BulkConversion(
            client,
            leads,
            concurrency=concurrency,
            resume_state=results.resume_state if results else None,
            marker=AnyMarker(marker, ConstantMarker(is_set=wait_first)),
            observer=self,
            workers=workers,
            suspension=suspension,
            lease=results.lease if results else None,
        )

    def run(self, *, precondition: bool = False, dry_run: bool = False, fail_fast: int | None = None) -> None:
        """Check, convert and publish the results. Each result is kept before anything else happens.

        :param precondition: convert nothing if a lead is converted already, unless an earlier process may have done it.
        :param dry_run: convert nothing, only report what would be converted.
        :param fail_fast: stop once more leads than this failed; ``None``: go on to the last.
        :raises InvalidRequestError: if the precondition does not hold.
        :raises LeadConversionError: if the API could not be read, before anything was converted.
        :raises ConcurrentRunError: if another process has taken over; the results are left to it.
        """
        self._started = self._client.clock()
        self._count_earlier_results()
        must_hold = precondition and not self._is_resumed
        try:
            log.info("Checking which of %d leads are already converted", self.summary.leads)
            if dry_run or must_hold:
                self._keep(self._job.precheck())
            if dry_run and not self._job.killed:
                self._list_what_would_be_converted()
            elif must_hold and self.summary.existing:
                self._refuse()
            else:
                self._convert(fail_fast)
            self._publish()
        except LeadConversionError:
            self._keep(self._job.abandon())
            self._publish()
            raise
        except ConcurrentRunError:
            self._job.kill()
            for result in self._job.abandon():
                self._count(result)
            raise
        except BaseException:  # a task that timed out or was interrupted has seconds to live
            self._job.kill()  # or else threads that wait for a permit would still send
            self._keep(self._job.abandon())
            raise
        finally:
            self._job.close()
            if self._results:
                self._results.close()
            self.summary.duration_s = round(self._client.clock() - self._started, 3)
            self.summary.api_calls = self._client.counters.requests
            self.summary.duplicates = len(self._job.ledger.duplicates)

    def kill(self) -> None:
        """End now, as the worker will be gone in seconds. Safe in a signal handler."""
        self._job.kill()

    @property
    def progress(self) -> Progress:
        """How far the run came."""
        summary = self.summary
        done = summary.leads - summary.not_attempted
        return Progress(str(summary), done, summary.leads, failed=summary.failed + summary.unknown)

    @property
    def failures(self) -> list[ConversionResult]:
        """The first leads that were not converted."""
        return self._failures.first

    @property
    def stopped_by(self) -> LeadConversionError | None:
        """Why the run ended before its last lead."""
        return self._job.stopped_by

    def failure(self, allowed: int) -> LeadConversionError | None:
        """Judge the run. Failures that are tolerated are logged as a warning.

        :param allowed: how many leads may end as ``failed`` or ``unknown``.
        :return: what is wrong with it, if anything is.
        """
        summary = self.summary
        try:
            self._job.raise_for_failure()
        except DuplicateConversionError as error:
            return error
        except LeadConversionError:
            return LeadsNotConvertedError(self._evidence())
        failures = summary.failed + summary.unknown
        if summary.not_attempted == 0 and failures <= allowed:
            if failures:
                log.warning("Up to %d failures are tolerated: %s", allowed, self._evidence())
            return None
        return LeadsNotConvertedError(self._evidence())

    @override
    def start_watermark_known(self, start_watermark: int) -> None:
        if self._results:
            self._results.note_start_watermark(start_watermark)

    @override
    def all_checked(self, checks: int) -> None:
        if self._results:
            self._results.note_precheck(self._job.ledger.start_watermark)
        summary = self.summary
        summary.precheck_api_calls = checks
        summary.precheck_duration_s = round(self._client.clock() - self._started, 3)
        log.info(
            "Checked %d leads with %d requests in %.1f s: %d were already converted",
            summary.leads,
            summary.precheck_api_calls,
            summary.precheck_duration_s,
            summary.existing,
        )

    def _count_earlier_results(self) -> None:
        if self._results:
            self.summary.converted += self._results.kept[ConversionStatus.CONVERTED]
            self.summary.existing += self._results.kept[ConversionStatus.EXISTING]

    def _convert(self, fail_fast: int | None) -> None:
        for result in self._job.convert():
            self._keep([result])
            if fail_fast is not None and self.summary.failed + self.summary.unknown > fail_fast:
                self._job.stop()

    def _list_what_would_be_converted(self) -> None:
        for result in self._job.abandon():
            self.summary.would_convert += 1
            if self._results:
                self._results.add(result, WOULD_CONVERT)

    def _refuse(self) -> None:
        raise InvalidRequestError(
            f"{self.summary.existing} of {self.summary.leads} leads are already converted, and on_existing='fail'; "
            "nothing was converted. Remove them from the input, or use on_existing='skip'"
        )

    def _publish(self) -> None:
        """Publish the results, unless the next try has to resume from the journal.

        That is so if the run was killed before every lead had its turn, or if this process could not find out what an
        earlier one has converted.
        """
        unfinished = self.summary.unknown + self.summary.not_attempted
        if self._results and not (unfinished and (self._job.killed or self._results.must_resume)):
            self._results.publish()

    def _keep(self, results: Iterable[ConversionResult]) -> None:
        for result in results:
            self._count(result)
            if self._results:
                self._results.add(result)

    def _count(self, result: ConversionResult) -> None:
        name = result.status.value
        setattr(self.summary, name, getattr(self.summary, name) + 1)
        self._failures.note(result)

    def _evidence(self) -> str:
        return self._failures.text(self.summary, self._job.stopped_by)


def allowed_failures(leads: int, max_failures: int | None, max_failure_rate: float | None = None) -> int:
    """Return how many of the leads may fail.

    :param leads: how many there are.
    :param max_failures: how many may fail; ``None``: any number.
    :param max_failure_rate: which share may fail, instead of a number.
    """
    if max_failure_rate is not None:
        return int(max_failure_rate * leads + 1e-9)  # 0.29 of 100 is 28.999999999999996
    return leads if max_failures is None else max_failures
