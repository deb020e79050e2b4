"""The bulk conversion operator."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_leadconv.api.exceptions import DuplicateConversionError
from airflow_provider_leadconv.api.models import as_bool
from airflow_provider_leadconv.hooks.dag_run_note import write_dag_run_note
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.hooks.parameters import check_choice, check_max_failures, check_range
from airflow_provider_leadconv.hooks.permanent_errors import fail_without_retry
from airflow_provider_leadconv.hooks.task_progress import reporting_progress
from airflow_provider_leadconv.links import FileLink, SellLink, record_url
from airflow_provider_leadconv.metrics import count
from airflow_provider_leadconv.operators.bulk_outputs import BulkOutputs
from airflow_provider_leadconv.operators.bulk_paths import check_paths
from airflow_provider_leadconv.operators.lead_source import LeadSource
from airflow_provider_leadconv.xcoms import as_outputs

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_leadconv.bulk.run import BulkRun
    from airflow_provider_leadconv.bulk.sending_marker import SendingMarker

log = logging.getLogger(__name__)

MAX_CONCURRENCY = 64


class LeadConversionBulkOperator(BaseOperator):
    """Convert leads, each at most once, even if requests or workers fail.

    Conversions cannot be undone. So the operator first checks which leads are already converted, and repeats a request
    only after confirming that the lead has not been converted. Every lead ends with one status: ``converted``,
    ``existing``, ``failed``, ``unknown`` or ``not_attempted``. A retry of the task continues where the previous try
    ended.

    The token needs the scopes ``read`` and ``write``. A lead must not be in two concurrent runs.

    :param leads: ids, or objects with ``lead_id`` and optionally ``owner_id`` and ``create_deal``: a list, an XComArg,
        or a template that renders to JSON or to comma-separated ids. (templated)
    :param leads_path: a file of leads instead, as an ``ObjectStoragePath``: CSV with a header, JSONL, Parquet, or the
        results or the failures of an earlier run, of which only leads that are not converted are read. (templated)
    :param sql: a query instead that returns the leads, or the path of a ``.sql`` file: columns ``lead_id``, and
        optionally ``owner_id`` and ``create_deal``. It needs ``results_path``: the leads of the first try are kept
        beside it, and retries take them from there, since the query of a retry returns fewer leads or others.
        (templated)
    :param sql_conn_id: id of the Airflow connection of the database, of any type with a ``DbApiHook``. (templated)
    :param sql_parameters: parameters of the query, in the style of the database's driver. (templated)
    :param lead_id_column: name of the column of the lead ids; default: ``lead_id``, in any case and also with spaces.
        (templated)
    :param ignore_columns: names of columns that are ignored although they resemble ``owner_id`` or ``create_deal``.
        Other columns are ignored anyway. (templated)
    :param owner_id: owner of the created records for leads without ``owner_id``; default: the lead's owner. (templated)
    :param create_deal: whether to create a deal for leads without ``create_deal``; default: the API's default, true.
        (templated)
    :param on_existing: ``skip`` leads that are already converted, or ``fail`` before any lead is converted. Retries
        and rescheduled tasks always skip.
    :param max_failures: how many leads may end as ``failed`` or ``unknown`` without failing the task; ``None``: any
        number. Failures that are tolerated are logged as a warning.
    :param max_failure_rate: the same as a share of the leads, from 0 to 1, instead of ``max_failures``.
    :param fail_fast: stop as soon as there are more failures than allowed: a bool, or "true" or "false".
    :param concurrency: requests in flight, 1 to 64. The connection sets the rate. The default of 16 is enough for 10
        requests per second as long as a response takes at most 1.6 s.
    :param results_path: file for the results, one row per lead in input order: ``.jsonl``, ``.csv`` or ``.parquet``,
        the first two also with ``.gz`` or ``.zst``. It should contain ``{{ run_id }}``, and ``{{ ti.map_index }}`` if
        the task is mapped. (templated)
    :param failures_path: file for the leads that were not converted, with reasons and links into Sell, in the same
        formats. It is a ``leads_path`` for the next run. Without failures, it has a header only. Like ``results_path``,
        it should contain ``{{ run_id }}``, and ``{{ ti.map_index }}`` if the task is mapped. (templated)
    :param push_created_ids: push the ids of the conversion, contacts and deal of each lead under the XCom key
        ``created_ids``, for dynamic task mapping; for up to 1,000 leads. A bool, or "true" or "false".
    :param limit: read only the first leads, up to this number. (templated)
    :param max_leads: fail before the first request if more leads than this are read, such as after a wrong query.
        (templated)
    :param dry_run: convert nothing; the results are ``existing`` or ``would_convert``. A bool, or "true" or "false".
        (templated)
    :param wait_for_earlier_runs: wait ``timeout + settle_time`` before anything else, because another run over the same
        leads may have been killed a moment ago. A retry, a cleared task and a run over earlier results do not need it:
        they wait if they have to. (templated)
    :param dag_run_note: write the summary as the note of the DAG run, over the note that the run has, even if a person
        wrote it. Needs Airflow 3.4 or later; it is ignored before. A bool, or "true" or "false".
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``. (templated)
    :return: the summary, less than 4 KB: ``leads``, ``converted``, ``existing``, ``failed``, ``unknown``,
        ``not_attempted``, ``would_convert``, ``duplicates``, ``api_calls`` and ``duration_s`` (``precheck_...``: until
        all leads were checked), ``results_path``, ``failures_path``, and ``failures``: the first 20, each with
        ``lead_id``, ``status``, ``http_status``, ``field`` and ``reason``. Each is also an XCom, such as
        ``convert.output["results_path"]``. If the task fails, only the XCom ``summary`` has them.
    :raises AirflowFailException: if a retry cannot help: invalid input, token or scope, or only leads that the API
        rejects.
    :raises LeadsNotConvertedError: if a retry may help.
    """

    template_fields: Sequence[str] = (
        "leads",
        "leads_path",
        "sql",
        "sql_conn_id",
        "sql_parameters",
        "lead_id_column",
        "ignore_columns",
        "owner_id",
        "create_deal",
        "results_path",
        "failures_path",
        "limit",
        "max_leads",
        "is_dry_run",
        "wait_for_earlier_runs",
        "leadconv_conn_id",
    )
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"leads": "json", "sql": "sql", "sql_parameters": "json"}
    operator_extra_links = (SellLink(), FileLink())
    ui_color = "#d4ebe6"

    def __init__(
        self,
        *,
        leads: Iterable[Any] | str | None = None,
        leads_path: str | None = None,
        sql: str | None = None,
        sql_conn_id: str | None = None,
        sql_parameters: Mapping[str, Any] | Sequence[Any] | None = None,
        lead_id_column: str | None = None,
        ignore_columns: Iterable[str] | None = None,
        owner_id: int | str | None = None,
        create_deal: bool | str | None = None,
        on_existing: Literal["skip", "fail"] = "skip",
        max_failures: int | None = 0,
        max_failure_rate: float | None = None,
        fail_fast: bool | str = False,
        concurrency: int = 16,
        results_path: str | None = None,
        failures_path: str | None = None,
        push_created_ids: bool | str = False,
        limit: int | str | None = None,
        max_leads: int | str | None = None,
        dry_run: bool | str = False,
        wait_for_earlier_runs: bool | str = False,
        dag_run_note: bool | str = False,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        check_max_failures(max_failures, max_failure_rate)
        self.leads = leads
        self.leads_path = leads_path
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.sql_parameters = sql_parameters
        self.lead_id_column = lead_id_column
        self.ignore_columns = ignore_columns
        self.owner_id = owner_id
        self.create_deal = create_deal
        self.on_existing = check_choice("on_existing", on_existing, ("skip", "fail"))
        self.max_failures = max_failures
        self.max_failure_rate = max_failure_rate
        self.fail_fast = as_bool(fail_fast, "fail_fast")
        self.concurrency = check_range("concurrency", concurrency, MAX_CONCURRENCY)
        self.results_path = results_path
        self.failures_path = failures_path
        self.push_created_ids = as_bool(push_created_ids, "push_created_ids")
        self.limit = limit
        self.max_leads = max_leads
        self.is_dry_run = dry_run  # BaseOperator has a method dry_run
        self.wait_for_earlier_runs = wait_for_earlier_runs
        self.dag_run_note = as_bool(dag_run_note, "dag_run_note")
        self.leadconv_conn_id = leadconv_conn_id
        if (leads is not None) + (leads_path is not None) + (sql is not None) != 1:
            raise ValueError("give one of leads, leads_path and sql, and only one")
        if sql is not None and (sql_conn_id is None or results_path is None):
            raise ValueError(
                "sql needs sql_conn_id and results_path: the leads of the first try are kept beside the results, "
                "since the query of a retry returns others"
            )
        self._run: BulkRun | None = None
        self._outputs: BulkOutputs | None = None
        self._killed = False

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook, created when the task runs."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Convert the leads.

        :return: the summary.
        """
        from airflow_provider_leadconv.bulk.run import BulkRun
        from airflow_provider_leadconv.hooks.task_marker import is_rerun

        with fail_without_retry():
            dry_run = as_bool(self.is_dry_run, "dry_run")
            if dry_run:
                log.info("DRY RUN: no lead will be converted")
            check_paths(self)
            key = _run_key(context)
            source = LeadSource(self, key)
            batch = source.read()
            with self.hook.get_conn() as client, reporting_progress(context) as progress:
                self._outputs = outputs = BulkOutputs(self, partial(record_url, client.config.web_base_url, "lead"))
                outputs.open(key, batch)
                self._run = run = BulkRun(
                    client,
                    batch,
                    outputs.results,
                    concurrency=self.concurrency,
                    marker=self._marker(context),
                    wait_first=batch.has_unknown or as_bool(self.wait_for_earlier_runs, "wait_for_earlier_runs"),
                )
                if self._killed:
                    run.kill()
                try:
                    run.run(
                        precondition=self.on_existing == "fail" and not is_rerun(context),
                        dry_run=dry_run,
                        fail_fast=self._allowed_failures(run) if self.fail_fast else None,
                    )
                finally:
                    summary = outputs.report(run, context)
                    progress.write(run.progress)
                    if self.dag_run_note:
                        write_dag_run_note(context, str(run.summary))
                    count(**{name: summary[name] for name in ("converted", "failed", "unknown")})
        self._raise_failure(run, outputs)
        if source.snapshot:
            source.snapshot.remove()
        if dry_run:
            log.info("DRY RUN: no lead was converted; %d would be", run.summary.would_convert)
        return as_outputs(summary)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """Return the lineage: the file of leads, the conversions, results and failures. Empty if the task failed early.

        :param task_instance: unused.
        """
        from airflow_provider_leadconv import lineage

        if self._run is None or self._outputs is None:
            return lineage.operator_lineage(inputs=[], outputs=[])
        summary = self._run.summary
        created = lineage.conversions_created(self.hook.get_conn().config.account, summary.converted)
        return lineage.operator_lineage(
            inputs=[lineage.file_read(self.leads_path)] if self.leads_path else [],
            outputs=[created, *self._outputs.datasets(summary.leads)],
        )

    def on_kill(self) -> None:
        """Stop the run and save the results. Leads in flight end as ``unknown``. The worker is killed after 5 s."""
        self._killed = True
        if self._run:
            self._run.kill()

    def _marker(self, context: Context) -> SendingMarker | None:
        """Return the marker that records whether requests may still be on their way; ``None`` if the journal does."""
        from airflow_provider_leadconv.hooks.task_marker import task_marker

        return task_marker(context) if self.results_path is None else None

    def _allowed_failures(self, run: BulkRun) -> int:
        from airflow_provider_leadconv.bulk.run import allowed_failures

        return allowed_failures(run.summary.leads, self.max_failures, self.max_failure_rate)

    def _raise_failure(self, run: BulkRun, outputs: BulkOutputs) -> None:
        error = run.failure(self._allowed_failures(run))
        if error is None:
            return
        if outputs.note:
            error.message += f"\n{outputs.note}"
        if isinstance(error, DuplicateConversionError) or not (run.summary.unknown or run.summary.not_attempted):
            raise AirflowFailException(str(error)) from error
        raise error from run.stopped_by


def _run_key(context: Context) -> str:
    """Return the identity of the run: a retry has the same. Outside of Airflow, there are no retries."""
    task_instance = context.get("ti")
    if task_instance is None:
        return str(uuid4())
    names = (task_instance.dag_id, task_instance.run_id, task_instance.task_id, task_instance.map_index)
    return "/".join(map(str, names))
