"""Writers of an export: JSONL, CSV and Parquet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any, Protocol

from typing_extensions import override

from airflow_provider_leadconv.api.models import ID_COLUMNS, LeadConversion
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.table_files import Column, ColumnType, TableWriter, compressed, table_writer

log = logging.getLogger(__name__)

_REQUIRED = {"id", "lead_id"}
_TABLE = [
    *(Column(name, ColumnType.INTEGER, nullable=name not in _REQUIRED) for name in ID_COLUMNS),
    Column("created_at", ColumnType.TIME),
]


class RowWriter(Protocol):
    """Writes rows to a file without closing it."""

    def write(self, rows: Sequence[LeadConversion]) -> None:
        """Write rows."""
        ...


class _JsonLines(RowWriter):
    """JSON Lines: one row per line, with every key as the API sent it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    @override
    def write(self, rows: Sequence[LeadConversion]) -> None:
        lines = [row.raw for row in rows]
        text = b"".join(lines)
        # Checked once for all rows, since nearly always all can be written unchanged.
        if b"\n" in text or b"\r" in text or not all(lines):
            lines = [row.to_json() for row in rows]
        self._file.write(b"\n".join([*lines, b""]))


class _Table(RowWriter):
    """The documented columns.

    :param time: returns ``created_at`` of a row.
    """

    def __init__(self, writer: TableWriter, time: Callable[[LeadConversion], Any]) -> None:
        self._writer = writer
        self._time = time

    @override
    def write(self, rows: Sequence[LeadConversion]) -> None:
        self._writer.write([(*ids_of(row), self._time(row)) for row in rows])


def ids_of(row: LeadConversion) -> tuple[int | None, ...]:
    """Return the values of :data:`ID_COLUMNS` of a row."""
    return (row.id, row.lead_id, row.individual_id, row.organization_id, row.deal_id, row.creator_id)


def readable_time(row: LeadConversion) -> Any:
    """Return ``created_at`` in UTC, or ``None`` if it is missing or, with a warning, invalid."""
    moment = row.created_at
    if moment is None and row.created_at_raw is not None:
        log.warning(
            "Conversion %d has a created_at that is no time: %.80r; it is left empty", row.id, row.created_at_raw
        )
    return moment


@contextmanager
def row_writer(file: IO[bytes], file_format: FileFormat) -> Iterator[RowWriter]:
    """Open a writer of rows. The file is complete when the ``with`` block ends without an error.

    In CSV, ``created_at`` is as the API sent it. In Parquet, an invalid one becomes null with a warning.

    :param file: file open for writing; it is not closed.
    :param file_format: format of the rows.
    :return: a context manager with the writer.
    :raises ImportError: if the format needs pyarrow or zstandard, which are extras of this package.
    """
    if file_format.name == "jsonl":
        with compressed(file, file_format.compression) as stream:
            yield _JsonLines(stream)
    else:
        with table_writer(file, file_format, _TABLE) as writer:
            yield _Table(writer, readable_time if file_format.name == "parquet" else _time_sent)


def _time_sent(row: LeadConversion) -> Any:
    return row.created_at_raw
