"""What happened to each lead of a batch: a line of JSON each, kept while the job runs, published in input order."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.records import DOCUMENTED_KEYS, ConversionOutcome, ConversionRequest, Outcome
from airflow_provider_leadconv.jobs.journal import Journal
from airflow_provider_leadconv.jobs.ledger import Before
from airflow_provider_leadconv.jobs.storage import Folder

_CONVERTED = {Outcome.CONVERTED, Outcome.EXISTING}
_UNCONVERTED = {Outcome.FAILED, Outcome.NOT_ATTEMPTED}
_CONVERSION_KEYS = tuple(key for key in DOCUMENTED_KEYS if key not in {"id", "lead_id"})


def result_line(
    lead: ConversionRequest, result: ConversionOutcome, word: str, run: str, start_mark: int | None
) -> dict[str, Any]:
    """:return: the line of a lead: what was asked, the outcome, the conversion's fields, the error, and the run: its
    identity, and the id of the newest conversion before its first request.
    """
    conversion = result.conversion.to_dict() if result.conversion else {}
    return {
        **msgspec.structs.asdict(lead),
        "outcome": str(word),
        "conversion_id": conversion.get("id"),
        **{key: conversion.get(key) for key in _CONVERSION_KEYS},
        "error": _error(result.error) if result.error else None,
        "run": run,
        "start_mark": start_mark,
    }


def _error(error: LeadConversionError) -> dict[str, Any]:
    field = next((entry.field for entry in error.field_errors if entry.field), None)
    return {"status": error.status, "code": error.code, "field": field, "text": str(error)}


class _Record(msgspec.Struct):
    """What is read of a line: that of a lead, or the note that a process had looked at its batch."""

    run: str
    start_mark: int | None = None
    looked_at: str | None = None
    lead_id: int | None = None
    outcome: str | None = None
    conversion_id: int | None = None


class Results:
    """The results file of one run.

    :param folder: where it goes.
    :param name: its name.
    :param journal: keeps the lines until then.
    :param run: identity of the run. A task's retry has the same, so it goes on with what its earlier try has left.
    :param leads: the batch, in input order.
    :raises InvalidRequestError: if the file or the journal holds results of another run.
    """

    def __init__(
        self, folder: Folder, name: str, journal: Journal, *, run: str, leads: Sequence[ConversionRequest]
    ) -> None:
        self.unfinished = False
        """Whether an earlier process of this run was stopped before its end."""
        self.kept: Counter[Outcome] = Counter()
        """How many leads are converted by what an earlier process has left, by outcome."""
        self._folder = folder
        self._name = name
        self._journal = journal
        self._run = run
        self._leads = leads
        self._position = {lead.lead_id: number for number, lead in enumerate(leads)}
        self._offsets = array("q", [-1]) * len(leads)
        self._others: list[int] = []  # offsets of conversions whose leads are no longer in the batch
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        self._start_mark: int | None = None
        self._looked = False
        self._known: dict[int, int] = {}
        self._unconverted: set[int] = set()
        try:
            self._take_over()
        except BaseException:
            self.close()
            raise

    @property
    def before(self) -> Before:
        """What earlier processes of this run have left."""
        return Before(
            start_mark=self._start_mark, looked=self._looked, known=self._known, unconverted=self._unconverted
        )

    def add(self, result: ConversionOutcome, word: str | None = None) -> None:
        """Keep the outcome of a lead.

        :param word: what to call it, if it is none of the five.
        """
        lead = self._leads[self._position[result.lead_id]]
        line = result_line(lead, result, word or result.outcome, self._run, self._start_mark)
        encoded = msgspec.json.encode(line) + b"\n"
        self._offsets[self._position[result.lead_id]] = self._spool_line(encoded)
        self._journal.append(encoded)

    def note_look(self, start_mark: int | None) -> None:
        """Keep that everything up to the start mark was looked at for this batch. Fails if nothing can be kept."""
        self._start_mark = start_mark
        note = {"run": self._run, "start_mark": start_mark, "looked_at": self._batch()}
        self._journal.append(msgspec.json.encode(note) + b"\n")
        self._journal.flush()

    def publish(self) -> None:
        """Write the file, a line for each lead in input order, and drop the journal."""
        self._journal.flush()
        with self._folder.draft(self._name) as draft:
            for offset in (*self._offsets, *self._others):
                self._spool.seek(offset)
                draft.write(self._spool.readline())
            self._folder.publish(draft, self._name)
        self._journal.remove()

    def close(self) -> None:
        """Make every outcome so far outlive the process, if it was not published."""
        self._spool.close()
        self._journal.close()

    def _spool_line(self, line: bytes) -> int:
        offset = self._spool.seek(0, os.SEEK_END)
        self._spool.write(line)
        return offset

    def _batch(self) -> str:
        """Tells this batch from another that a changed input has made of it."""
        return sha256(array("q", sorted(self._position)).tobytes()).hexdigest()

    def _take_over(self) -> None:
        """Read what earlier processes of this run have left: what is converted stays so, the rest is done again."""
        if self._name in self._folder.names():
            with self._folder.open(self._name) as file:
                self._take_lines(file)
        self.unfinished = self._take_lines(self._journal.lines())

    def _take_lines(self, lines: Iterable[bytes]) -> bool:
        """:return: whether there were any."""
        found = False
        for line in lines:
            found = True
            record = self._decoded(line)
            if self._start_mark is None:
                self._start_mark = record.start_mark
            if record.looked_at:  # the lines from here on are of another process
                self._looked |= record.looked_at == self._batch()
                self._unconverted.clear()
            if record.lead_id is not None and record.lead_id not in self._known:
                self._take_lead(record.lead_id, record, line)
        return found

    def _decoded(self, line: bytes) -> _Record:
        try:
            record = _decode_record(line)
        except msgspec.MsgspecError as error:
            raise InvalidRequestError(f"results_path {self._name} is there and is no results file: {error}") from error
        if record.run != self._run:
            raise InvalidRequestError(
                f"results_path {self._name} holds results of another run ({record.run or 'unnamed'}); "
                "put {{ run_id }} into the path, or remove the file and its journal"
            )
        return record

    def _take_lead(self, lead_id: int, record: _Record, line: bytes) -> None:
        self._unconverted.discard(lead_id)
        if record.outcome in _UNCONVERTED:
            self._unconverted.add(lead_id)
        if record.outcome not in _CONVERTED or record.conversion_id is None:
            return
        self._known[lead_id] = record.conversion_id
        offset = self._spool_line(line)
        if lead_id in self._position:
            self._offsets[self._position[lead_id]] = offset
            self.kept[Outcome(record.outcome)] += 1
        else:
            self._others.append(offset)


_decode_record = msgspec.json.Decoder(_Record).decode
