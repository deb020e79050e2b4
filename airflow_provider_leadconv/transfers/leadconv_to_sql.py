"""The transfer to SQL databases."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_leadconv.api.models import as_bool
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.hooks.permanent_errors import fail_without_retry
from airflow_provider_leadconv.hooks.sql import sql_hook
from airflow_provider_leadconv.hooks.task_progress import reporting_progress
from airflow_provider_leadconv.metrics import count
from airflow_provider_leadconv.progress import Progress
from airflow_provider_leadconv.xcoms import as_outputs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.common.sql.hooks.sql import DbApiHook
    from airflow.providers.openlineage.extractors import OperatorLineage


class LeadConversionToSqlOperator(BaseOperator):
    """Upsert lead conversions into a table of a SQL database.

    Rows are written oldest first, 1,000 per commit, and replace rows with the same ``id``. So the task can be repeated,
    and after every commit the table is complete up to ``max(id)``.

    PostgreSQL, MySQL, MariaDB and SQLite are supported. There, the table is created if it does not exist: ``id`` BIGINT
    (primary key); ``lead_id``, ``individual_id``, ``organization_id``, ``deal_id``, ``creator_id`` BIGINT;
    ``created_at`` with time zone, or in UTC on MySQL. For other databases, create a table with these columns first.
    Rows are then upserted with the statement of the hook's dialect, and ``incremental`` needs a SQL dialect with
    ``LIMIT``. The table is checked before the first request.

    :param table: name of the table as in SQL: with its schema if need be, and in quotation marks if the database needs
        them. (templated)
    :param sql_conn_id: id of the Airflow connection of the database. (templated)
    :param incremental: read only the new conversions, down to the overlap window below the highest id in the table
        (among the rows that match the filters): a bool, or "true" or "false"; default: read all conversions. No other
        export may write rows that match the filters to the table.
    :param lead_id: only the conversion of this lead. (templated)
    :param individual_id: only conversions to this contact. (templated)
    :param organization_id: only conversions to this contact. (templated)
    :param deal_id: only conversions that created this deal. (templated)
    :param creator_id: only conversions by this user. (templated)
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``. (templated)
    :return: ``table``, ``rows``, ``min_id``, ``max_id``, ``api_calls`` and ``duration_s``.
    :raises AirflowFailException: if a connection, the token, the table or a parameter is invalid.
    :raises SqlError: if the database fails otherwise. No error holds the values of a row.
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
        incremental: bool | str = False,
        lead_id: int | str | None = None,
        individual_id: int | str | None = None,
        organization_id: int | str | None = None,
        deal_id: int | str | None = None,
        creator_id: int | str | None = None,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        self.table = table
        self.sql_conn_id = sql_conn_id
        self.incremental = as_bool(incremental, "incremental")
        self.lead_id = lead_id
        self.individual_id = individual_id
        self.organization_id = organization_id
        self.deal_id = deal_id
        self.creator_id = creator_id
        self.leadconv_conn_id = leadconv_conn_id
        self._rows: int | None = None

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook of the API, created when the task runs."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id)

    @cached_property
    def sql_hook(self) -> DbApiHook:
        """The hook of the database, created when the task runs.

        :raises InvalidRequestError: if there is no such connection, or it is not one of a SQL database, or the Airflow
            provider of the database is not installed.
        """
        return sql_hook(self.sql_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Export the conversions.

        :return: the summary.
        """
        from airflow_provider_leadconv.api.queries import FILTERS, ListQuery
        from airflow_provider_leadconv.export.selection import Selection
        from airflow_provider_leadconv.export.table import export_to_table
        from airflow_provider_leadconv.transfers.sql_table import SqlTable

        with fail_without_retry(), reporting_progress(context) as progress:
            query = ListQuery(**{name: getattr(self, name) for name in FILTERS})
            table = SqlTable(self.sql_hook, self.sql_conn_id, self.table, query.filters)
            table.prepare()
            with self.hook.get_conn() as client:
                summary = export_to_table(client, Selection(query=query), table, incremental=self.incremental)
            progress.write(Progress(f"Wrote {summary.rows} conversions", summary.rows, summary.rows))
        self._rows = summary.rows
        count(exported_rows=summary.rows)
        self.log.info("Wrote %d conversions to %s", summary.rows, self.table)
        return as_outputs({"table": self.table, **msgspec.structs.asdict(summary)})

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """Return the lineage: the account's conversions, and the table. It is empty if the task failed.

        :param task_instance: unused.
        """
        from airflow_provider_leadconv import lineage

        if self._rows is None:
            return lineage.operator_lineage(inputs=[], outputs=[])
        account = self.hook.get_conn().config.account
        written = lineage.table_written(*self._table_names(), rows=self._rows)
        return lineage.operator_lineage(inputs=[lineage.conversions_read(account)], outputs=[written])

    def _table_names(self) -> tuple[str, str]:
        """Return the namespace and the name of the table, from the database hook if it supports OpenLineage."""
        connection = self.sql_hook.get_connection(self.sql_conn_id)
        info = self.sql_hook.get_openlineage_database_info(connection)
        if info is None:
            return f"{self.sql_hook.conn_type}://{connection.host or ''}", self.table
        schema = self.sql_hook.get_openlineage_default_schema()
        prefix = [info.database or connection.schema, None if "." in self.table else schema]
        namespace = f"{info.scheme}://{info.authority}" if info.authority else info.scheme
        return namespace, ".".join(filter(None, [*prefix, self.table]))
