"""Export to a database table. The table itself is the only state.

The listing is newest first. If rows were written in that order, a killed run would leave a gap below the highest id,
and the next run would use that id as its high watermark. So new rows are spooled and written oldest first: after every
commit, the table has all rows up to ``max(id)``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple, Protocol

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.changefeed import OVERLAP_ROWS, ChangefeedReader, OverlapWindow
from airflow_provider_leadconv.export.formats import ids_of, readable_time
from airflow_provider_leadconv.export.pages import read_pages
from airflow_provider_leadconv.export.selection import Selection
from airflow_provider_leadconv.export.summary import Stopwatch
from airflow_provider_leadconv.storage.files import spool

Row = tuple[int | str | None, ...]
"""The values of :data:`~airflow_provider_leadconv.api.models.COLUMNS`; ``created_at`` in ISO 8601, UTC."""


class Table(Protocol):
    """A table with the columns of :data:`~airflow_provider_leadconv.api.models.COLUMNS`."""

    def newest(self, *, below: int | None, limit: int) -> list[LeadConversion]:
        """Read the rows with the highest ids, descending.

        :param below: only rows with a lower id; ``None``: all rows.
        :param limit: maximum number of rows.
        :return: the rows.
        """
        ...

    def upsert(self, rows: Iterable[Row]) -> None:
        """Insert rows in the given order, or replace those with the same id. Commits several times."""
        ...


class TableSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Summary of an export to a table.

    :param rows: conversions written.
    :param min_id: lowest id written; ``None`` if no row was written.
    :param max_id: highest id written; ``None`` if no row was written.
    :param api_calls: requests sent.
    :param duration_s: duration in seconds.
    """

    rows: int
    min_id: int | None
    max_id: int | None
    api_calls: int
    duration_s: float


def export_to_table(
    client: LeadConversionsClient, selection: Selection, table: Table, *, incremental: bool
) -> TableSummary:
    """Upsert conversions into a table.

    :param incremental: read only new conversions, down to the low watermark of the overlap window.
    :raises LeadConversionError: if the conversions cannot be read.
    """
    stopwatch = Stopwatch(client)
    reader = ChangefeedReader(_window(table) if incremental else None)
    low: int | None = None
    high: int | None = None
    with spool() as file:
        rows = Spool(file)
        for page in read_pages(client, selection, reader):
            if page.rows:
                rows.add(page.rows)
                low, high = page.rows[-1].id, page.rows[0].id if high is None else high
        table.upsert(rows.backwards())
    return TableSummary(
        rows=rows.rows, min_id=low, max_id=high, api_calls=stopwatch.requests, duration_s=stopwatch.seconds
    )


def _window(table: Table) -> OverlapWindow:
    """Return the overlap window of the previous run, reconstructed from the newest rows of the table."""
    reader = ChangefeedReader()
    below: int | None = None
    while not reader.window_is_final:
        rows = table.newest(below=below, limit=2 * OVERLAP_ROWS)
        if not rows:
            break
        reader.take(rows)
        below = rows[-1].id
    return reader.window()


class _Block(NamedTuple):
    start: int
    size: int


class Spool:
    """Stores rows in a file and returns them in reverse order.

    :param file: an empty file, open for reading and writing.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._blocks: list[_Block] = []
        self.rows = 0

    def add(self, rows: Sequence[LeadConversion]) -> None:
        """Add a page of rows."""
        block = msgspec.msgpack.encode([_row(row) for row in rows])
        self._blocks.append(_Block(self._file.tell(), len(block)))
        self._file.write(block)
        self.rows += len(rows)

    def backwards(self) -> Iterator[Row]:
        """Yield all rows, the last one first."""
        decode = msgspec.msgpack.Decoder(list[Row]).decode
        for start, size in reversed(self._blocks):
            self._file.seek(start)
            yield from reversed(decode(self._file.read(size)))


def _row(row: LeadConversion) -> Row:
    moment = readable_time(row)
    return (*ids_of(row), None if moment is None else moment.isoformat())
