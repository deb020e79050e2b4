"""The results of a batch on a disk, in input order, since in memory they would be too many."""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator, Sequence

from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.storage.files import spool


class ResultSpool:
    """The latest result of each lead of a batch, in a temporary file.

    :param leads: the batch, in input order.
    """

    def __init__(self, leads: Sequence[ConversionRequest]) -> None:
        self._leads = leads
        self._position = {lead.lead_id: number for number, lead in enumerate(leads)}
        self._offsets = array("q", [-1]) * len(leads)
        self._others: list[int] = []  # offsets of conversions whose leads are no longer in the batch
        self._file = spool()

    def __contains__(self, lead_id: int) -> bool:
        return lead_id in self._position

    def lead(self, lead_id: int) -> ConversionRequest:
        """Return a lead of the batch."""
        return self._leads[self._position[lead_id]]

    def lead_ids(self) -> list[int]:
        """Return the ids of the batch, sorted."""
        return sorted(self._position)

    def add(self, lead_id: int, line: bytes) -> None:
        """Keep the result of a lead, which may be one of an earlier batch.

        :param line: the result in JSON, without a newline.
        """
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(line + b"\n")
        if lead_id in self._position:
            self._offsets[self._position[lead_id]] = offset
        else:
            self._others.append(offset)

    def lines(self) -> Iterator[bytes]:
        """Return the result of each lead in input order, then those of leads that are not in the batch."""
        for offset in (*self._offsets, *self._others):
            self._file.seek(offset)
            yield self._file.readline().rstrip(b"\n")

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
