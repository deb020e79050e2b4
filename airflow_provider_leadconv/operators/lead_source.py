"""Reads the leads of a bulk conversion from the source that the operator names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import as_id
from airflow_provider_leadconv.hooks.paths import path_errors, storage_path
from airflow_provider_leadconv.operators.lead_query import LeadQuery

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.models import ConversionRequest
    from airflow_provider_leadconv.bulk.inputs import LeadBatch
    from airflow_provider_leadconv.bulk.inputs.snapshot import LeadSnapshot
    from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator

log = logging.getLogger(__name__)


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
        read = partial(
            read_leads,
            columns=self._columns,
            owner_id=operator.owner_id,
            create_deal=operator.create_deal,
            limit=limit,
        )
        if operator.leads is not None:
            return read(rows_of(operator.leads))
        if operator.sql is not None:
            return read(self._query_leads(operator.sql, limit))
        if not operator.leads_path:
            raise InvalidRequestError(
                "no leads, no leads_path and no sql; if an upstream task was to give them, it gave None"
            )
        return self._read_file(operator.leads_path, read)

    def _read_file(self, path: str, read: partial[LeadBatch]) -> LeadBatch:
        from airflow_provider_leadconv.bulk.inputs import rows_of_file
        from airflow_provider_leadconv.bulk.outputs.journal import has_journal

        location = storage_path("leads_path", path)
        log.info("Reading leads from %s", path)
        with path_errors("leads_path", path), location.open("rb") as file:  # type: ignore[no-untyped-call]  # of universal_pathlib
            batch = read(rows_of_file(path, file, self._columns), source=path)
            batch.has_unknown |= batch.is_of_results and has_journal(location)
        return batch

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
