"""Reads the leads of a bulk conversion from the source that the operator names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import as_id
from airflow_provider_leadconv.hooks.lead_files import read_lead_file
from airflow_provider_leadconv.operators.lead_query import LeadQuery

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.models import ConversionRequest
    from airflow_provider_leadconv.bulk.inputs import LeadBatch
    from airflow_provider_leadconv.bulk.inputs.snapshot import LeadSnapshot
    from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator


class LeadSource:
    """The leads of one execution of the operator.

    :param operator: the operator, whose templates are rendered.
    :param run: identity of the run.
    """

    def __init__(self, operator: LeadConversionBulkOperator, run: str) -> None:
        from airflow_provider_leadconv.bulk.inputs import Columns

        self.snapshot: LeadSnapshot | None = None
        """The leads of the query, kept for retries, once they were read."""
        self._operator = operator
        self._run = run
        self._columns = Columns(operator.lead_id_column, operator.ignore_columns)

    def read(self) -> LeadBatch:
        """Read and check the leads.

        :raises InvalidRequestError: if they cannot be read as they are, or there are too many.
        """
        limit = _optional_number(self._operator.limit, "limit")
        max_leads = _optional_number(self._operator.max_leads, "max_leads")
        if max_leads is not None and (limit is None or limit > max_leads):
            limit = max_leads + 1  # one more shows that there are too many
        batch = self._read_up_to(limit)
        if max_leads is not None and len(batch) > max_leads:
            raise InvalidRequestError(f"there are more leads than max_leads={max_leads}; nothing was converted")
        return batch

    def _read_up_to(self, limit: int | None) -> LeadBatch:
        from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of

        operator = self._operator
        options: dict[str, Any] = {"owner_id": operator.owner_id, "create_deal": operator.create_deal, "limit": limit}
        if operator.leads is not None:
            return read_leads(rows_of(operator.leads), columns=self._columns, **options)
        if operator.sql is not None:
            return read_leads(self._query_leads(operator.sql, limit), columns=self._columns, **options)
        if not operator.leads_path:
            raise InvalidRequestError(
                "no leads, no leads_path and no sql; if an upstream task was to give them, it gave None"
            )
        return read_lead_file(operator.leads_path, self._columns, **options)

    def _query_leads(self, sql: str, limit: int | None) -> Sequence[ConversionRequest]:
        operator = self._operator
        query = LeadQuery(
            sql, operator.sql_conn_id, operator.sql_parameters, results_path=operator.results_path, run=self._run
        )
        self.snapshot = query.snapshot()
        return query.leads(self.snapshot, self._columns, limit=limit)


def _optional_number(value: int | str | None, name: str) -> int | None:
    """Parse a number of leads; a template may render to an empty string."""
    return None if value in (None, "") else as_id(value, name)
