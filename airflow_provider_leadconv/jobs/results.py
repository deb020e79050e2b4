"""What happened to each lead of a batch: a line of JSON each, kept while the job runs, published in input order."""

from __future__ import annotations

import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.records import DOCUMENTED_KEYS, ConversionOutcome, ConversionRequest, Outcome
from airflow_provider_leadconv.jobs.journal import Journal
from airflow_provider_leadconv.jobs.storage import Folder

_FINAL = {Outcome.CONVERTED, Outcome.EXISTING}
_CONVERSION_KEYS = tuple(key for key in DOCUMENTED_KEYS if key not in {"id", "lead_id"})


def result_line(lead: ConversionRequest, result: ConversionOutcome, word: str, run: str) -> dict[str, Any]:
    """:return: the line of a lead: what was asked, the outcome, the conversion's fields, the error, and whose it is."""
    conversion = result.conversion.to_dict() if result.conversion else {}
    return {
        **msgspec.structs.asdict(lead),
        "outcome": str(word),
        "conversion_id": conversion.get("id"),
        **{key: conversion.get(key) for key in _CONVERSION_KEYS},
        "error": _error(result.error) if result.error else None,
        "run": run,
    }


def _error(error: LeadConversionError) -> dict[str, Any]:
    field = next((entry.field for entry in error.field_errors if entry.field), None)
    return {"status": error.status, "code": error.code, "field": field, "text": str(error)}


class _Record(msgspec.Struct):
    """What is read of a line: that of a lead, or the note of a start mark."""

    run: str
    lead_id: int | None = None
    outcome: str | None = None
    conversion_id: int | None = None
    start_mark: int | None = None


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
        self.start_mark: int | None = None
        """Start mark of that process, if it got as far as looking at everything below."""
        self.known: dict[int, int] = {}
        """Leads that are converted by what an earlier try has left, with the ids of their conversions."""
        self.kept: Counter[Outcome] = Counter()
        """How many of them ended how."""
        self._folder = folder
        self._name = name
        self._journal = journal
        self._run = run
        self._leads = leads
        self._position = {lead.lead_id: number for number, lead in enumerate(leads)}
        self._offsets = array("q", [-1]) * len(leads)
        self._spool = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as this object
        self._take_over()

    def add(self, result: ConversionOutcome, word: str | None = None) -> None:
        """Keep the outcome of a lead.

        :param word: what to call it, if it is none of the five.
        """
        lead = self._leads[self._position[result.lead_id]]
        line = msgspec.json.encode(result_line(lead, result, word or result.outcome, self._run)) + b"\n"
        self._keep(result.lead_id, line)
        self._journal.append(line)

    def note_start_mark(self, mark: int) -> None:
        """Keep the mark above which a later process has to look for this one's conversions."""
        if self.start_mark is None:
            self._journal.append(msgspec.json.encode({"run": self._run, "start_mark": mark}) + b"\n")

    def flush(self) -> None:
        """Make every outcome so far outlive the process."""
        self._journal.flush()

    def publish(self) -> None:
        """Write the file, a line for each lead in input order, and drop the journal."""
        self._journal.flush()
        with self._folder.draft(self._name) as draft:
            for offset in self._offsets:
                self._spool.seek(offset)
                draft.write(self._spool.readline())
            self._folder.publish(draft, self._name)
        self._journal.remove()

    def _keep(self, lead_id: int, line: bytes) -> None:
        self._offsets[self._position[lead_id]] = self._spool.seek(0, os.SEEK_END)
        self._spool.write(line)

    def _take_over(self) -> None:
        """Read what an earlier process of this run has left: what is converted stays so, the rest is done again."""
        if self._name in self._folder.names():
            with self._folder.open(self._name) as file:
                for line in file:
                    self._take_line(line)
        for line in self._journal.lines():
            record = self._take_line(line)
            self.unfinished = True
            if self.start_mark is None:
                self.start_mark = record.start_mark

    def _take_line(self, line: bytes) -> _Record:
        try:
            record = _decode_record(line)
        except msgspec.MsgspecError as error:
            raise InvalidRequestError(f"results_path {self._name} is there and is no results file: {error}") from error
        if record.run != self._run:
            raise InvalidRequestError(
                f"results_path {self._name} holds results of another run ({record.run or 'unnamed'}); "
                "put {{ run_id }} into the path, or remove the file and its journal"
            )
        lead_id, conversion_id = record.lead_id, record.conversion_id
        if lead_id in self._position and lead_id not in self.known and conversion_id and record.outcome in _FINAL:
            self._keep(lead_id, line)
            self.known[lead_id] = conversion_id
            self.kept[Outcome(record.outcome)] += 1
        return record


_decode_record = msgspec.json.Decoder(_Record).decode
