"""Rows of a database query."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from airflow_provider_leadconv.bulk.inputs.columns import Columns
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.rows import InputRow

ROWS_PER_FETCH = 1_000


class Cursor(Protocol):
    """What is used of a DB-API cursor whose query was executed."""

    @property
    def description(self) -> Any:
        """A sequence for each column, of which the first item is its name; ``None`` if there are no rows to fetch."""
        ...

    def fetchmany(self, size: int, /) -> Sequence[Any]:
        """Return the next rows, as tuples or mappings."""
        ...


def rows_of_cursor(cursor: Cursor, columns: Columns) -> Iterator[InputRow]:
    """Read rows in batches.

    :param cursor: its query was executed.
    :param columns: finds the columns.
    :raises InvalidLeadsError: if the columns of leads cannot be found among those of the query.
    """
    rows = cursor.fetchmany(ROWS_PER_FETCH)  # a server-side cursor describes its columns only now
    if cursor.description is None:
        raise InvalidLeadsError("the statement returns no rows; it must be a SELECT with a column lead_id")
    names = [column[0] for column in cursor.description]
    columns.resolve(names, "columns of the query")
    number = 0
    while rows:
        for row in rows:
            number += 1
            yield InputRow(f"row {number}", row if isinstance(row, Mapping) else dict(zip(names, row, strict=True)))
        rows = cursor.fetchmany(ROWS_PER_FETCH)
