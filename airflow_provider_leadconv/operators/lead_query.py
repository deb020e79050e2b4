"""Leads from a database: the query of a bulk conversion, which runs once."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.paths import storage_path
from airflow_provider_leadconv.hooks.sql import database_connection, sql_hook

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.models import ConversionRequest
    from airflow_provider_leadconv.bulk.inputs import Columns
    from airflow_provider_leadconv.bulk.inputs.rows import InputRow
    from airflow_provider_leadconv.bulk.inputs.snapshot import LeadSnapshot

log = logging.getLogger(__name__)


class LeadQuery:
    """A query that returns leads.

    :param sql: one statement.
    :param conn_id: id of the Airflow connection of the database.
    :param parameters: parameters of the query, in the style of the database's driver.
    :param results_path: file of the results, beside which the leads are kept for retries.
    :param run: identity of the run.
    :raises InvalidRequestError: if a template rendered one of them to nothing, or there is no file system for
        ``results_path``.
    """

    def __init__(self, sql: str, conn_id: str | None, parameters: Any, *, results_path: str | None, run: str) -> None:
        if not (sql.strip() and conn_id and results_path):
            raise InvalidRequestError("sql, sql_conn_id and results_path must not be empty")
        self._sql = sql
        self._conn_id = conn_id
        self._parameters = parameters
        self._run = run
        self._results_path = storage_path("results_path", results_path)

    def snapshot(self) -> LeadSnapshot:
        """Return the file in which the leads are kept."""
        from airflow_provider_leadconv.bulk.inputs.snapshot import LeadSnapshot
        from airflow_provider_leadconv.storage.locations import folder_of

        query = sha256(repr((self._sql, self._conn_id, self._parameters)).encode()).hexdigest()
        folder = folder_of(self._results_path.parent)
        return LeadSnapshot(folder, f"{self._results_path.name}.leads.jsonl", run=self._run, query=query)

    def leads(self, snapshot: LeadSnapshot, columns: Columns, *, limit: int | None) -> Sequence[ConversionRequest]:
        """Return the leads that an earlier try read, or run the query if there was none. No defaults are applied.

        :param columns: finds the columns of leads.
        :param limit: take so many leads at most.
        :raises InvalidLeadsError: if a row is invalid, or the snapshot is of another run or another query.
        :raises InvalidRequestError: if the connection is not one of a SQL database, its provider is not installed, or
            the database refuses the query.
        :raises SqlError: if the database fails otherwise.
        """
        from airflow_provider_leadconv.bulk.inputs import read_leads

        kept = snapshot.read()
        if kept is not None:
            log.info("Read %d leads from %s, where the first try of this run put them", len(kept), snapshot.name)
            return kept
        log.info("Reading leads from the database of connection %s", self._conn_id)
        with closing(self._rows(columns)) as rows:
            leads = read_leads(rows, columns=columns, source=f"the query of {self._conn_id}", limit=limit)
        snapshot.write(leads)
        return leads

    def _rows(self, columns: Columns) -> Generator[InputRow, None, None]:
        """Run the query, and read its rows in batches. Nothing is committed."""
        from airflow_provider_leadconv.bulk.inputs.query import rows_of_cursor

        hook = sql_hook(self._conn_id)
        # PostgreSQL then keeps the rows on the server. Other databases do if their connection asks for it.
        options = {"name": "leadconv"} if hook.conn_type == "postgres" else {}
        # The cursor ends with its connection: some drivers cannot close one with rows that were not fetched.
        failed = "cannot read leads from the database"
        with database_connection(hook, self._conn_id, failed=failed) as connection:
            cursor = connection.cursor(**options)
            cursor.execute(*((self._sql, self._parameters) if self._parameters else (self._sql,)))
            yield from rows_of_cursor(cursor, columns)
