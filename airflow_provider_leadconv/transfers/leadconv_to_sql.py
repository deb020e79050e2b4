"""The transfer to SQL databases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook, BaseOperator

from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.failing import permanent_errors_fail
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.metrics import count

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_leadconv.jobs.table import Row

_TIMESTAMP_TYPES = {"postgres": "TIMESTAMPTZ", "sqlite": "TIMESTAMP"}
_ROWS_PER_COMMIT = 1_000


class LeadConversionToSqlOperator(BaseOperator):
    """Upsert lead conversions into a table of a SQL database.

    Rows are written oldest first, 1,000 a commit, and replace those with the same ``id``. So running it again is
    harmless, and ``max(id)`` is true after every commit.

    PostgreSQL and SQLite are supported and tested, and there the table is created if it is missing: ``id`` BIGINT,
    the primary key; ``lead_id``, ``individual_id``, ``organization_id``, ``deal_id``, ``creator_id`` BIGINT;
    ``created_at`` with its time zone. For other databases, create it with these columns beforehand; their hook's
    ``insert_rows(replace=True)`` then decides how rows are upserted, and ``incremental`` needs ``LIMIT`` in their SQL.

    :param table: name of the table, with its schema if need be. (templated)
    :param sql_conn_id: id of the Airflow connection of the database. (templated)
    :param incremental: read only what is new: down to the overlap window below the highest id in the table (among the
        rows that fit the filters). Default: read everything.
    :param lead_id: only the conversion of this lead. (templated)
    :param individual_id: only conversions to this contact. (templated)
    :param organization_id: only conversions to this contact. (templated)
    :param deal_id: only conversions that made this deal. (templated)
    :param creator_id: only conversions by this user. (templated)
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``. (templated)
    :return: ``table``, ``rows``, ``min_id``, ``max_id``, ``api_calls`` and ``duration_s``.
    :raises AirflowFailException: if a connection, the token or a parameter is wrong.
    """

    template_fields: Sequence[str] = (
        "table",
        "sql_conn_id",
        "lead_id",
        "individual_id",
        "organization_id",
        "deal_id",
        "creator_id",
        "leadconv_conn_id",
    )
    ui_color = "#d4ebe6"

    def __init__(
        self,
        *,
        table: str,
        sql_conn_id: str,
        incremental: bool = False,
        lead_id: int | str | None = None,
        individual_id: int | str | None = None,
        organization_id: int | str | None = None,
        deal_id: int | str | None = None,
        creator_id: int | str | None = None,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.incremental = incremental
        self.lead_id = lead_id
        self.individual_id = individual_id
        self.organization_id = organization_id
        self.deal_id = deal_id
        self.creator_id = creator_id
        self.leadconv_conn_id = leadconv_conn_id
        self._rows: int | None = None

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook of the API, made when the task runs."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id)

    @cached_property
    def sql_hook(self) -> DbApiHook:
        """The hook of the database, made when the task runs."""
        from airflow.providers.common.sql.hooks.sql import DbApiHook

        hook = BaseHook.get_hook(self.sql_conn_id)
        if not isinstance(hook, DbApiHook):
            raise AirflowFailException(
                f"sql_conn_id {self.sql_conn_id!r} is a connection of type {hook.conn_type!r}, which is no SQL database"
            )
        return hook

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  # nothing of it is needed
        """Export.

        :return: what was exported; see the class.
        """
        from airflow_provider_leadconv.api.wire import FILTERS, ListQuery
        from airflow_provider_leadconv.jobs.reading import Selection
        from airflow_provider_leadconv.jobs.table import export_to_table

        with permanent_errors_fail():
            query = ListQuery(**{name: getattr(self, name) for name in FILTERS})
            table = _HookTable(self.sql_hook, self.table, query.filters)
            table.create_if_missing()
            with self.hook.get_conn() as client:
                summary = export_to_table(client, Selection(query=query), table, incremental=self.incremental)
        self._rows = summary.rows
        count(exported_rows=summary.rows)
        self.log.info("Wrote %d conversions to %s", summary.rows, self.table)
        return {"table": self.table, **msgspec.structs.asdict(summary)}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """:return: the account's conversions and the table; nothing if the task did not come so far.

        :param task_instance: not needed.
        """
        from airflow_provider_leadconv import lineage

        if self._rows is None:
            return lineage.lineage(inputs=[], outputs=[])
        account = self.hook.get_conn().config.account
        written = lineage.table_written(*self._table_names(), rows=self._rows)
        return lineage.lineage(inputs=[lineage.conversions_read(account)], outputs=[written])

    def _table_names(self) -> tuple[str, str]:
        """Namespace and name of the table, as the hook of its database gives them, if it does."""
        connection = self.sql_hook.get_connection(self.sql_conn_id)
        info = self.sql_hook.get_openlineage_database_info(connection)
        if info is None:
            return f"{self.sql_hook.conn_type}://{connection.host or ''}", self.table
        schema = self.sql_hook.get_openlineage_default_schema()
        prefix = [info.database or connection.schema, None if "." in self.table else schema]
        namespace = f"{info.scheme}://{info.authority}" if info.authority else info.scheme
        return namespace, ".".join(filter(None, [*prefix, self.table]))


class _HookTable:
    """A table behind a ``DbApiHook``.

    :param filters: what is known of the rows that count.
    """

    def __init__(self, hook: DbApiHook, name: str, filters: dict[str, int]) -> None:
        self._hook = hook
        self._name = name
        self._filters = filters

    def create_if_missing(self) -> None:
        from airflow_provider_leadconv.jobs.writers import ID_COLUMNS

        timestamp = _TIMESTAMP_TYPES.get(self._hook.conn_type)
        if timestamp is None:
            return
        types = dict.fromkeys(ID_COLUMNS, "BIGINT") | {
            "id": "BIGINT PRIMARY KEY",
            "lead_id": "BIGINT NOT NULL",
            "created_at": timestamp,
        }
        columns = ", ".join(f"{name} {type_}" for name, type_ in types.items())
        self._hook.run(f"CREATE TABLE IF NOT EXISTS {self._name} ({columns})")

    def newest(self, *, below: int | None, limit: int) -> list[LeadConversion]:
        conditions = {f"{name} =": value for name, value in self._filters.items()}
        if below is not None:
            conditions["id <"] = below
        where = " AND ".join(f"{condition} {self._hook.placeholder}" for condition in conditions)
        sql = (
            f"SELECT id, lead_id, created_at FROM {self._name} "  # noqa: S608  # the DAG's author names the table
            f"{f'WHERE {where} ' if where else ''}ORDER BY id DESC LIMIT {limit:d}"
        )
        found = self._hook.get_records(sql, parameters=list(conditions.values()))
        return [
            LeadConversion(id=row_id, lead_id=lead_id, created_at_text=None if moment is None else str(moment))
            for row_id, lead_id, moment in found
        ]

    def upsert(self, rows: Iterable[Row]) -> None:
        from airflow_provider_leadconv.jobs.writers import COLUMNS

        self._hook.insert_rows(
            self._name,
            rows,
            target_fields=list(COLUMNS),
            commit_every=_ROWS_PER_COMMIT,
            replace=True,
            replace_index="id",
            executemany=True,
            fast_executemany=True,
        )
