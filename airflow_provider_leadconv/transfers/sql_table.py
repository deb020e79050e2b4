"""The table of an export, in a database that Airflow has a hook for."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import COLUMNS, ID_COLUMNS, LeadConversion
from airflow_provider_leadconv.export.table import Table
from airflow_provider_leadconv.hooks.sql import database_connection
from airflow_provider_leadconv.transfers.sql_dialects import DIALECTS, Column, SqlDialect

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_leadconv.export.table import Row

log = logging.getLogger(__name__)

ROWS_PER_COMMIT = 1_000
_ROWS_PER_LOG_LINE = 100_000


class SqlTable(Table):
    """A table of a database.

    :param hook: the hook of the database.
    :param conn_id: id of its Airflow connection.
    :param name: name of the table, as SQL.
    :param filters: only rows that match these filters are read.
    """

    def __init__(self, hook: DbApiHook, conn_id: str, name: str, filters: dict[str, int]) -> None:
        self._hook = hook
        self._conn_id = conn_id
        self._name = name
        self._filters = filters
        self._dialect = DIALECTS.get(hook.conn_type, SqlDialect)(hook, name)

    def prepare(self) -> None:
        """Create the table if it is missing, and check that it takes conversions.

        :raises InvalidRequestError: if it does not.
        :raises SqlError: if the database cannot be used at present.
        """
        with self._connection("use") as (connection, cursor):
            self._dialect.create_table(cursor)
            connection.commit()
            self._check_columns(self._dialect.columns(cursor))
            self._dialect.check_upsert(cursor)

    def _check_columns(self, found: list[Column]) -> None:
        columns = {column.name.lower(): column for column in found}
        if missing := [name for name in COLUMNS if name not in columns]:
            names = ", ".join(column.name for column in found)
            raise InvalidRequestError(
                f"table {self._name} has no column {', '.join(missing)}; it has {names}", remedy=""
            )
        for name in COLUMNS:
            is_id = name in ID_COLUMNS
            refused = self._dialect.id_types_refused if is_id else self._dialect.time_types_refused
            if re.search(refused, columns[name].type, re.IGNORECASE):
                needed = "BIGINT, since ids have 64 bits" if is_id else f"{self._dialect.time_type}"
                raise InvalidRequestError(
                    f"column {name} of table {self._name} has the type {columns[name].type}; make it {needed}",
                    remedy="",
                )
        if others := [column.name for column in found if column.required and column.name.lower() not in COLUMNS]:
            raise InvalidRequestError(
                f"column {', '.join(others)} of table {self._name} is NOT NULL and has no default, and the export "
                "writes no value; give it a default or allow NULL",
                remedy="",
            )

    @override
    def newest(self, *, below: int | None, limit: int) -> list[LeadConversion]:
        conditions = {f"{name} =": value for name, value in self._filters.items()}
        if below is not None:
            conditions["id <"] = below
        where = " AND ".join(f"{condition} {self._hook.placeholder}" for condition in conditions)
        sql = (
            f"SELECT id, lead_id, created_at FROM {self._name} "  # noqa: S608  # the DAG's author names the table
            f"{f'WHERE {where} ' if where else ''}ORDER BY id DESC LIMIT {limit:d}"
        )
        with self._connection("read") as (_, cursor):
            cursor.execute(*((sql, tuple(conditions.values())) if conditions else (sql,)))
            return [self._conversion(*row) for row in cursor.fetchall()]

    def _conversion(self, row_id: Any, lead_id: Any, moment: Any) -> LeadConversion:
        if row_id is None or lead_id is None:
            raise InvalidRequestError(
                f"table {self._name} has a row with id {row_id} and lead_id {lead_id}, which no export has written: "
                "delete it, or use another table",
                remedy="",
            )
        return LeadConversion(
            id=int(row_id), lead_id=int(lead_id), created_at_raw=None if moment is None else str(moment)
        )

    @override
    def upsert(self, rows: Iterable[Row]) -> None:
        remaining = iter(rows)
        written = 0
        with self._connection("write to") as (connection, cursor):
            while batch := list(islice(remaining, ROWS_PER_COMMIT)):
                self._dialect.upsert(cursor, batch)
                connection.commit()
                written += len(batch)
                if written % _ROWS_PER_LOG_LINE == 0:
                    log.info("Wrote %d rows to %s", written, self._name)

    @contextmanager
    def _connection(self, purpose: str) -> Iterator[tuple[Any, Any]]:
        """Connect for the ``with`` block.

        :return: the connection, and a cursor of it.
        """
        failed = f"cannot {purpose} table {self._name}"
        with (
            database_connection(self._hook, self._conn_id, failed=failed) as connection,
            closing(connection.cursor()) as cursor,
        ):
            self._dialect.start_session(cursor)
            yield connection, cursor
