"""An export into a table of a database, whose only state is the table.

The listing is newest first. Written in that order, a run that dies would leave a gap below the highest id, which the
next run would take for its mark. So what is new is spooled, and written oldest first: after every commit, all that is
not above ``max(id)`` is in the table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, NamedTuple, Protocol

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.jobs.export import Stopwatch
from airflow_provider_leadconv.jobs.feed import WINDOW_ROWS, LogReader, Window
from airflow_provider_leadconv.jobs.reading import Selection, read
from airflow_provider_leadconv.jobs.writers import ids_of, readable_time

Row = tuple[int | str | None, ...]
"""The values of :data:`~airflow_provider_leadconv.jobs.writers.COLUMNS`; ``created_at`` in ISO 8601, UTC."""


class Table(Protocol):
    """A table with the columns of :data:`~airflow_provider_leadconv.jobs.writers.COLUMNS`."""

    def newest(self, *, below: int | None, limit: int) -> list[LeadConversion]:
        """Read rows with the highest ids, descending.

        :param below: only lower ids; ``None``: all.
        :param limit: that many.
        """
        ...

    def upsert(self, rows: Iterable[Row]) -> None:
        """Insert rows, or replace those with the same id, with a commit now and then, in the order they come."""
        ...


class TableSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What an export into a table did.

    :param rows: conversions it wrote.
    :param min_id: the lowest id of these; ``None`` if there are none.
    :param max_id: the highest id of these; ``None`` if there are none.
    :param api_calls: requests it sent.
    :param duration_s: seconds it took.
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

    :param incremental: only those that are not in the table, as far as the overlap window reaches.
    :raises LeadConversionError: of the class that says what to do about it.
    """
    watch = Stopwatch(client)
    reader = LogReader(_window(table) if incremental else None)
    low: int | None = None
    high: int | None = None
    with tempfile.TemporaryFile() as file:
        spool = Spool(file)
        for page in read(client, selection, reader):
            if page.rows:
                spool.add(page.rows)
                low, high = page.rows[-1].id, page.rows[0].id if high is None else high
        table.upsert(spool.backwards())
    return TableSummary(rows=spool.rows, min_id=low, max_id=high, api_calls=watch.requests, duration_s=watch.seconds)


def _window(table: Table) -> Window:
    """What an earlier run must have left, as the head of the table shows it."""
    reader = LogReader()
    below: int | None = None
    while not reader.is_settled:
        rows = table.newest(below=below, limit=2 * WINDOW_ROWS)
        if not rows:
            break
        reader.take(rows)
        below = rows[-1].id
    return reader.window()


class _Block(NamedTuple):
    start: int
    size: int


class Spool:
    """Keeps rows in a file, to give them back in the opposite order.

    :param file: empty, for reading and writing.
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
        """:return: all rows, the last one first."""
        decode = msgspec.msgpack.Decoder(list[Row]).decode
        for start, size in reversed(self._blocks):
            self._file.seek(start)
            yield from reversed(decode(self._file.read(size)))


def _row(row: LeadConversion) -> Row:
    moment = readable_time(row)
    return (*ids_of(row), None if moment is None else moment.isoformat())
