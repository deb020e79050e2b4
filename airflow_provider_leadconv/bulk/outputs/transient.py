"""The results of a batch that only last as long as their process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus
from airflow_provider_leadconv.bulk.ledger import ResumeState
from airflow_provider_leadconv.bulk.outputs.records import ResultRecord, decode_result
from airflow_provider_leadconv.bulk.outputs.spool import ResultSpool
from airflow_provider_leadconv.storage.lease import Lease

Report = Callable[[Iterable[ResultRecord]], None]
"""Is given the results in input order."""


class TransientResults:
    """The results of one run, of which nothing is kept but what its reports make of them.

    :param run: identity of the run.
    :param leads: the batch, in input order.
    :param reports: are given the results whenever they are published.
    """

    def __init__(self, *, run: str, leads: Sequence[ConversionRequest], reports: Sequence[Report] = ()) -> None:
        self.unfinished = False
        """Whether an earlier process of this run was stopped before its end."""
        self.has_unresolved_requests = False
        """Whether an earlier process of this run may have left requests behind whose outcome is not known."""
        self.kept: Counter[ConversionStatus] = Counter()
        """How many leads are converted according to what an earlier process has left, by status."""
        self.published = False
        """Whether this process has published the results."""
        self.lease: Lease | None = None
        """Whether this process may send conversions, or another one goes on; ``None`` if that is not known."""
        self._run = run
        self._reports = reports
        self._spool = ResultSpool(leads)
        self._start_watermark: int | None = None

    @property
    def must_resume(self) -> bool:
        """Whether what an earlier process left is still needed, as this process did not complete its pre-check.

        Only the earlier one knows for which leads it sent requests.
        """
        return False

    @property
    def resume_state(self) -> ResumeState:
        """What earlier processes of this run have left."""
        return ResumeState()

    def add(self, result: ConversionResult, status: str | None = None) -> None:
        """Keep the result of a lead.

        :param status: what to write instead of the result's own status.
        """
        self._add(result, status)

    def note_start_watermark(self, start_watermark: int) -> None:
        """Note the newest conversion before the run's first request, for all records and results from now on."""
        self._start_watermark = start_watermark

    def note_precheck(self, start_watermark: int | None) -> None:
        """Record that the pre-check of this batch is complete. Fails if nothing can be kept."""
        self._start_watermark = start_watermark

    def note_sending(self) -> None:
        """Record the start watermark, and that conversions are about to be sent. Fails if nothing can be kept."""

    def note_resolved(self) -> None:
        """Record that the outcome of every conversion that was sent is known."""

    def publish(self) -> None:
        """Give the results to the reports, a row for each lead in input order."""
        for report in self._reports:
            report(map(decode_result, self._spool.lines()))
        self.published = True

    def journal_name(self) -> str | None:
        """Return the name of the journal, or ``None`` if it has no lines: it is removed after publishing."""
        return None

    def close(self) -> None:
        """Close the files once nothing more is sent."""
        self._spool.close()

    def _add(self, result: ConversionResult, status: str | None) -> bytes:
        """Keep the result of a lead, and return its record in JSON."""
        lead = self._spool.lead(result.lead_id)
        record = ResultRecord.of(lead, result, status or result.status, self._run, self._start_watermark)
        line = msgspec.json.encode(record)
        self._spool.add(result.lead_id, line)
        return line
