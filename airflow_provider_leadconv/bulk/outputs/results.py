"""The result of each lead of a batch, kept in a journal while the job runs and published in input order."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import TypeVar

import msgspec
from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import JSON_ERRORS, InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus
from airflow_provider_leadconv.bulk.ledger import ResumeState
from airflow_provider_leadconv.bulk.outputs.journal import Journal
from airflow_provider_leadconv.bulk.outputs.records import (
    LeadRecord,
    PrecheckRecord,
    Record,
    ResolvedRecord,
    ResultRecord,
    SendingRecord,
    decode_record,
    decode_result,
)
from airflow_provider_leadconv.bulk.outputs.result_files import read_records, write_results
from airflow_provider_leadconv.bulk.outputs.transient import Report, TransientResults
from airflow_provider_leadconv.bulk.sending_marker import SendingMarker
from airflow_provider_leadconv.bulk.suspension import boot_time
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.base import Folder
from airflow_provider_leadconv.storage.lease import Lease

_CONVERTED = {ConversionStatus.CONVERTED, ConversionStatus.EXISTING}
_UNCONVERTED = {ConversionStatus.FAILED, ConversionStatus.NOT_ATTEMPTED}
T = TypeVar("T")


class Results(TransientResults):
    """The results file of one run.

    :param folder: where it goes.
    :param name: its name, whose extensions give the format.
    :param journal: keeps the results until they are published.
    :param run: identity of the run. A task's retry has the same, so it continues from what its earlier try has left.
    :param leads: the batch, in input order.
    :param reports: are given the results in input order whenever they are published.
    :param clock: of the lease; seconds, also while the machine sleeps.
    :raises InvalidRequestError: if the name has no extension of a format, or the file or the journal holds results of
        another run.
    """

    def __init__(
        self,
        folder: Folder,
        name: str,
        journal: Journal,
        *,
        run: str,
        leads: Sequence[ConversionRequest],
        reports: Sequence[Report] = (),
        clock: Callable[[], float] = boot_time,
    ) -> None:
        self._format = FileFormat.by_extension(name, "results_path")
        super().__init__(run=run, leads=leads, reports=reports)
        self._folder = folder
        self._name = name
        self._journal = journal
        self._prechecked = False
        self._own_precheck_done = False
        self._was_published = False
        self._known: dict[int, int] = {}
        self._unconverted: set[int] = set()
        self.lease: Lease = Lease(folder, name, run=run, clock=clock)
        try:
            if self.lease.earlier:
                self._check_run(self.lease.earlier.run)
            self.lease.acquire()  # first: what an earlier process writes after it has seen this, is not read here
            self._read_results_file()
            self._read_journal()
        except BaseException:
            self.close()
            raise

    @property
    @override
    def must_resume(self) -> bool:
        return (self.unfinished or self._was_published) and not self._own_precheck_done

    @property
    @override
    def resume_state(self) -> ResumeState:
        return ResumeState(
            start_watermark=self._start_watermark,
            prechecked=self._prechecked,
            known=self._known,
            unconverted=self._unconverted,
        )

    @override
    def add(self, result: ConversionResult, status: str | None = None) -> None:
        line = self._add(result, status)
        # Before the pre-check, this process does not know whether an earlier one has converted the lead.
        if result.status is not ConversionStatus.NOT_ATTEMPTED or self._own_precheck_done:
            self._append(LeadRecord(msgspec.Raw(line)))

    @override
    def note_precheck(self, start_watermark: int | None) -> None:
        self._start_watermark = start_watermark
        self._own_precheck_done = True
        self._append(PrecheckRecord(self._run, start_watermark, self._batch_hash()))
        self._journal.flush()

    @override
    def note_sending(self) -> None:
        self._append(SendingRecord(self._run, self._start_watermark))
        self._journal.flush()
        # In this order: a process that takes over writes its claim first and then reads the journal. So it finds the
        # record and waits, or this process finds the claim and sends nothing.
        self.lease.confirm(now=True)

    @override
    def note_resolved(self) -> None:
        self._append(ResolvedRecord(self._run))

    @override
    def publish(self) -> None:
        self.lease.confirm()
        self._journal.flush()
        with self._folder.draft(self._name) as draft:
            write_results(draft, self._format, self._spool.lines())
            self._folder.publish(draft, self._name)
        super().publish()
        self.lease.confirm()
        self._journal.remove()

    @override
    def journal_name(self) -> str | None:
        return self._journal.kept_name()

    @override
    def close(self) -> None:
        super().close()
        if self.lease.is_lost:
            self._journal.abandon()
            return
        try:
            self._journal.close()
        finally:  # also if the disk is full
            self.lease.release()

    def _append(self, record: Record) -> None:
        self.lease.confirm()
        self._journal.append(msgspec.json.encode(record) + b"\n")

    def _batch_hash(self) -> str:
        """Return a hash of the lead ids, to detect that the input has changed."""
        return sha256(array("q", self._spool.lead_ids()).tobytes()).hexdigest()

    def _read_results_file(self) -> None:
        """Take over what an earlier process of this run has published: what is converted stays so."""
        self._was_published = self._name in self._folder.names()
        if self._was_published:
            what = f"results_path {self._name} exists and is no results file"
            with self._folder.open(self._name) as file:
                for record in read_records(self._name, file, what):
                    self._take(record)
                    self.has_unresolved_requests |= record.status == ConversionStatus.UNKNOWN

    def _read_journal(self) -> None:
        """Take over what an earlier process of this run had not published when it was stopped."""
        for number, line in enumerate(self._journal.lines(), 1):
            what = f"{self._journal.name} is no journal of a bulk conversion: record {number}"
            record = _decoded(line, decode_record, what)
            self.unfinished = True
            if isinstance(record, LeadRecord):
                self._take(_decoded(bytes(record.line), decode_result, what))
                continue
            self._check_run(record.run)
            if isinstance(record, PrecheckRecord):
                self._set_start_watermark(record.start_watermark)
                self._prechecked |= record.batch == self._batch_hash()
            elif isinstance(record, SendingRecord):
                self._set_start_watermark(record.start_watermark)
                self._unconverted.clear()
                self.has_unresolved_requests = True
            else:
                self.has_unresolved_requests = False

    def _take(self, record: ResultRecord) -> None:
        self._check_run(record.run)
        self._set_start_watermark(record.start_watermark)
        if record.lead_id not in self._known:
            self._take_lead(record)

    def _check_run(self, run: str) -> None:
        if run != self._run:
            raise InvalidRequestError(
                f"results_path {self._name} holds results of another run ({run or 'unnamed'}); "
                "put {{ run_id }} into the path, or remove the file, its journal and its claim"
            )

    def _set_start_watermark(self, start_watermark: int | None) -> None:
        if self._start_watermark is None:
            self._start_watermark = start_watermark

    def _take_lead(self, record: ResultRecord) -> None:
        self._unconverted.discard(record.lead_id)
        if record.status in _UNCONVERTED:
            self._unconverted.add(record.lead_id)
        if record.status not in _CONVERTED or record.conversion_id is None:
            return
        self._known[record.lead_id] = record.conversion_id
        self._spool.add(record.lead_id, msgspec.json.encode(record))
        if record.lead_id in self._spool:
            self.kept[ConversionStatus(record.status)] += 1


def _decoded(line: bytes, decode: Callable[[bytes], T], what: str) -> T:
    try:
        return decode(line)
    except JSON_ERRORS as error:
        raise InvalidRequestError(f"{what}: {error}") from error


class JournalMarker(SendingMarker):
    """The marker of a run with a results file: records in its journal, and ``unknown`` rows in the published file."""

    def __init__(self, results: TransientResults) -> None:
        self._results = results

    @override
    def is_set(self) -> bool:
        return self._results.has_unresolved_requests

    @override
    def set(self) -> None:
        self._results.note_sending()

    @override
    def clear(self) -> None:
        self._results.note_resolved()
