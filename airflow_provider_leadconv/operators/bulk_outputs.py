"""What a bulk conversion leaves behind: the results, the failures and the created ids."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.paths import path_errors, storage_path
from airflow_provider_leadconv.links import file_url, set_links
from airflow_provider_leadconv.operators.bulk_summary import summary_xcom

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import OutputDataset
    from airflow.providers.common.compat.sdk import Context, ObjectStoragePath

    from airflow_provider_leadconv.bulk.inputs import LeadBatch
    from airflow_provider_leadconv.bulk.outputs.failures import FailuresFile
    from airflow_provider_leadconv.bulk.outputs.records import ResultRecord
    from airflow_provider_leadconv.bulk.outputs.transient import Report, TransientResults
    from airflow_provider_leadconv.bulk.run import BulkRun
    from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator

log = logging.getLogger(__name__)

SUMMARY_KEY = "summary"
"""XCom key of the summary, which is pushed even if the task fails."""

CREATED_IDS_KEY = "created_ids"
"""XCom key of the created ids, on request."""

MAX_CREATED_IDS = 1_000
"""Leads whose created ids fit in an XCom (about 150 kB) and in Airflow's default limit of mapped tasks (1,024)."""

CREATED_IDS = ("lead_id", "status", "conversion_id", "individual_id", "organization_id", "deal_id")
"""What a row of the created ids has."""


class BulkOutputs:
    """What one execution of the operator leaves behind.

    :param operator: the operator, whose templates are rendered.
    :param link_of: returns the link to a lead in Sell.
    """

    def __init__(self, operator: LeadConversionBulkOperator, link_of: Callable[[int], str]) -> None:
        self.results: TransientResults | None = None
        """The results, once they are open; ``None`` if nothing is to be left behind."""
        self._operator = operator
        self._link_of = link_of
        self._failures: FailuresFile | None = None
        self._created_ids: list[dict[str, Any]] | None = None

    def open(self, run: str, leads: LeadBatch) -> None:
        """Check the parameters, and open the results.

        :param run: identity of the run.
        :param leads: the leads of the run.
        :raises InvalidRequestError: if a file cannot be written, or there are too many leads for an XCom.
        :raises ImportError: if a format needs a library that is not installed.
        """
        from airflow_provider_leadconv.bulk.outputs.transient import TransientResults

        reports: list[Report] = []
        if self._operator.push_created_ids:
            if len(leads) > MAX_CREATED_IDS:
                raise InvalidRequestError(
                    f"push_created_ids is for at most {MAX_CREATED_IDS:,} leads, got {len(leads):,}; "
                    "read the ids from results_path instead"
                )
            reports.append(self._collect_created_ids)
        if self._operator.failures_path is not None:
            self._failures = self._failures_file(self._operator.failures_path)
            reports.append(self._failures.publish)
        if self._operator.results_path is not None:
            self.results = self._open_results(self._operator.results_path, run, leads, reports)
        elif reports:
            self.results = TransientResults(run=run, leads=leads, reports=reports)

    @property
    def note(self) -> str | None:
        """Where the results are, if any are kept: in the journal until they are published."""
        if self.results is None:
            return None
        if self.results.published:
            paths = {
                "Per-lead results": self._operator.results_path,
                "Leads that were not converted": self._operator.failures_path,
            }
            return "\n".join(f"{what}: {path}" for what, path in paths.items() if path) or None
        folder, slash, _ = str(self._operator.results_path).rpartition("/")
        journal = self.results.journal_name()
        return f"Per-lead results until now, for the next try: {folder}{slash}{journal}" if journal else None

    def report(self, run: BulkRun, context: Context) -> dict[str, Any]:
        """Log and push what the run did, and set the links of the task.

        :return: the summary.
        """
        operator = self._operator
        summary = summary_xcom(
            run.summary, run.failures, results_path=operator.results_path, failures_path=operator.failures_path
        )
        log.info("%s", run.summary)
        if self.note:
            log.info("%s", self.note)
        if task_instance := context.get("ti"):
            task_instance.xcom_push(key=SUMMARY_KEY, value=summary)
            if self._created_ids is not None:
                task_instance.xcom_push(key=CREATED_IDS_KEY, value=self._created_ids)
        first_failure = self._link_of(run.failures[0].lead_id) if run.failures else None
        is_published = self.results is not None and self.results.published
        set_links(operator, context, sell=first_failure, file=file_url(operator.results_path) if is_published else None)
        return summary

    def datasets(self, leads: int) -> list[OutputDataset]:
        """Return the files for OpenLineage.

        :param leads: how many leads the run had.
        """
        from airflow_provider_leadconv import lineage

        rows = {self._operator.results_path: leads}
        if self._failures and self._failures.rows is not None:
            rows[self._operator.failures_path] = self._failures.rows
        return [lineage.file_written(path, rows=number, conversions=False) for path, number in rows.items() if path]

    def _open_results(self, where: str, run: str, leads: LeadBatch, reports: list[Report]) -> TransientResults:
        from airflow_provider_leadconv.bulk.outputs.journal import journal_of
        from airflow_provider_leadconv.bulk.outputs.results import Results
        from airflow_provider_leadconv.storage.locations import folder_of

        path = _checked_path("results_path", where)
        with path_errors("results_path", where):
            return Results(folder_of(path.parent), path.name, journal_of(path), run=run, leads=leads, reports=reports)

    def _failures_file(self, where: str) -> FailuresFile:
        from airflow_provider_leadconv.bulk.outputs.failures import FailuresFile
        from airflow_provider_leadconv.storage.locations import folder_of

        path = _checked_path("failures_path", where)
        return FailuresFile(folder_of(path.parent), path.name, self._link_of)

    def _collect_created_ids(self, records: Iterable[ResultRecord]) -> None:
        self._created_ids = [
            {name: getattr(record, name) for name in CREATED_IDS}
            for record in records
            if record.conversion_id is not None
        ]


def _checked_path(parameter: str, where: str) -> ObjectStoragePath:
    """Check that a file can be written, before the work starts."""
    from airflow_provider_leadconv.file_formats import FileFormat
    from airflow_provider_leadconv.storage.locations import folder_of
    from airflow_provider_leadconv.table_files import check_installed

    path = storage_path(parameter, where)
    with path_errors(parameter, where):
        if not path.name or path.is_dir():
            raise InvalidRequestError(f"{parameter} must name a file, not a folder: {where}")
        check_installed(FileFormat.by_extension(path.name, parameter))
        folder_of(path.parent).check_writable()
    return path
