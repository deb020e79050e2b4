"""The bulk conversion operator."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from uuid import uuid4

import msgspec
from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator

from airflow_provider_leadconv.api.errors import DuplicateConversionError, InvalidRequestError
from airflow_provider_leadconv.api.records import as_id
from airflow_provider_leadconv.failing import permanent_errors_fail
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.links import FileLink, SellLink, file_url, record_url, tell_links
from airflow_provider_leadconv.metrics import count

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_leadconv.api.records import ConversionRequest
    from airflow_provider_leadconv.jobs.bulk_run import BulkRun
    from airflow_provider_leadconv.jobs.results import Results

log = logging.getLogger(__name__)

SUMMARY_KEY = "summary"
"""XCom key of the summary, which is there if the task fails, too."""

MAX_CONCURRENCY = 64


class LeadConversionBulkOperator(BaseOperator):
    """Convert leads, each once, whatever fails meanwhile.

    Conversions cannot be undone. So the operator asks the API first which leads are converted already, sends a request
    again only if it is certain that the lead is not, and tells for each lead what became of it: ``converted``,
    ``existing``, ``failed``, ``unknown`` or ``not_attempted``. A retry of the task goes on where the last try ended.

    The token needs the scopes ``read`` and ``write``. Only one run should convert a given lead at a time.

    :param leads: ids, or objects with ``lead_id`` and maybe ``owner_id`` and ``create_deal``: a list, an XComArg, or a
        template that renders to JSON or to ids separated by commas. (templated)
    :param leads_path: a file of them instead, wherever ``ObjectStoragePath`` reaches: CSV with a header, JSONL,
        Parquet, or the results of an earlier run, of which only leads that are not converted are taken. (templated)
    :param owner_id: owner of what is created, for leads that name none; default: the lead's owner. (templated)
    :param create_deal: whether a deal is created, for leads that do not say; default: the API's own, true. (templated)
    :param on_existing: ``skip`` leads that are converted already, or ``fail`` before anything is converted. Later
        tries skip.
    :param max_failures: how many leads may end as ``failed`` or ``unknown`` before the task fails: a number if an int,
        a share if a float from 0 to 1, any number if ``None``.
    :param fail_fast: stop when there are more failures than ``max_failures``, instead of going on to the last lead.
    :param concurrency: requests in flight, 1 to 64. The rate is a matter of the connection; 16 are enough for 10 a
        second as long as an answer takes no more than 1.6 s.
    :param results_path: file for the results, a line of JSON for each lead in input order. Put ``{{ run_id }}`` into
        it, and ``{{ ti.map_index }}`` if the task is mapped. (templated)
    :param limit: take only so many leads. (templated)
    :param dry_run: convert nothing; the results say ``existing`` or ``would_convert``.
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``. (templated)
    :return: the numbers, less than 1 KB: ``leads``, ``converted``, ``existing``, ``failed``, ``unknown``,
        ``not_attempted``, ``would_convert``, ``duplicate``, ``api_calls`` and ``duration_s`` (``look_...``: those
        before the first conversion), ``results_path``. Also under the XCom key ``summary``, if the task fails, too.
    :raises AirflowFailException: if a retry cannot help: bad input, token, scope, or only leads the API refuses.
    :raises LeadsNotConvertedError: if a retry may help.
    """

    template_fields: Sequence[str] = (
        "leads",
        "leads_path",
        "owner_id",
        "create_deal",
        "results_path",
        "limit",
        "leadconv_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"leads": "json"}
    operator_extra_links = (SellLink(), FileLink())
    ui_color = "#d4ebe6"

    def __init__(
        self,
        *,
        leads: Iterable[Any] | str | None = None,
        leads_path: str | None = None,
        owner_id: int | str | None = None,
        create_deal: bool | str | None = None,
        on_existing: Literal["skip", "fail"] = "skip",
        max_failures: float | None = 0,
        fail_fast: bool = False,
        concurrency: int = 16,
        results_path: str | None = None,
        limit: int | str | None = None,
        dry_run: bool = False,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.leads = leads
        self.leads_path = leads_path
        self.owner_id = owner_id
        self.create_deal = create_deal
        self.on_existing = _one_of("on_existing", on_existing, ("skip", "fail"))
        self.max_failures = _failures(max_failures)
        self.fail_fast = fail_fast
        self.concurrency = _within("concurrency", concurrency, MAX_CONCURRENCY)
        self.results_path = results_path
        self.limit = limit
        self._dry_run = dry_run  # BaseOperator has a method dry_run
        self.leadconv_conn_id = leadconv_conn_id
        if leads is not None and leads_path is not None:
            raise ValueError("give leads or leads_path, not both")
        self._run: BulkRun | None = None
        self._killed = False

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook, made when the task runs."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Convert the leads.

        :return: the numbers; see the class.
        """
        from airflow_provider_leadconv.jobs.bulk_run import BulkRun, allowed_failures

        with permanent_errors_fail():
            leads = self._read_leads()
            task_instance = context.get("ti")
            with self.hook.get_conn() as client:
                self._run = run = BulkRun(
                    client,
                    leads,
                    self._open_results(task_instance, leads),
                    concurrency=self.concurrency,
                    may_follow_killed_run=task_instance is not None and task_instance.try_number > 1,
                )
                if self._killed:
                    run.kill()
                try:
                    run.run(
                        precondition=self.on_existing == "fail",
                        dry_run=self._dry_run,
                        fail_fast=allowed_failures(self.max_failures, len(leads)) if self.fail_fast else None,
                    )
                finally:
                    numbers = self._tell(run, context)
                    count(**{name: numbers[name] for name in ("converted", "failed", "unknown")})
        self._judge(run)
        return numbers

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """:return: the file of leads, what was converted, the file of results; nothing if the task did not come so far.

        :param task_instance: not needed.
        """
        from airflow_provider_leadconv import lineage

        if self._run is None:
            return lineage.lineage(inputs=[], outputs=[])
        summary = self._run.summary
        outputs = [lineage.conversions_made(self.hook.get_conn().config.account, summary.converted)]
        if self.results_path:
            outputs.append(lineage.file_written(self.results_path, rows=summary.leads, conversions=False))
        return lineage.lineage(inputs=[lineage.file_read(self.leads_path)] if self.leads_path else [], outputs=outputs)

    def on_kill(self) -> None:
        """Keep what is known; what is in flight ends as ``unknown``. The worker has five seconds left."""
        self._killed = True
        if self._run:
            self._run.kill()

    def _read_leads(self) -> list[ConversionRequest]:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_leadconv.jobs.lead_files import rows_of_file
        from airflow_provider_leadconv.jobs.leads import read_leads, rows_of

        limit = None if self.limit in (None, "") else as_id(self.limit, "limit")
        read = partial(read_leads, owner_id=self.owner_id, create_deal=self.create_deal, limit=limit)
        if self.leads is not None:
            return read(rows_of(self.leads))
        if not self.leads_path:
            raise InvalidRequestError("no leads and no leads_path; if an upstream task was to give them, it gave None")
        path = ObjectStoragePath(self.leads_path)
        log.info("Reading leads from %s", self.leads_path)
        with path.open("rb") as file:  # type: ignore[no-untyped-call]  # of universal_pathlib
            return read(rows_of_file(path.name, file))

    def _open_results(self, task_instance: Any, leads: Sequence[ConversionRequest]) -> Results | None:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_leadconv.jobs.journal import journal_of
        from airflow_provider_leadconv.jobs.results import Results
        from airflow_provider_leadconv.jobs.storage import folder_of

        if self.results_path is None:
            return None
        path = ObjectStoragePath(self.results_path)
        if not path.name or path.is_dir():
            raise InvalidRequestError(f"results_path must name a file, not a folder: {self.results_path}")
        run = str(uuid4())
        if task_instance is not None:
            names = (task_instance.dag_id, task_instance.run_id, task_instance.task_id, task_instance.map_index)
            run = "/".join(map(str, names))
        return Results(folder_of(path.parent), path.name, journal_of(path), run=run, leads=leads)

    def _tell(self, run: BulkRun, context: Context) -> dict[str, Any]:
        numbers = {**msgspec.structs.asdict(run.summary), "results_path": self.results_path}
        log.info("%s", run.summary)
        if self.results_path:
            log.info("What became of each lead is in %s", self.results_path)
        if task_instance := context.get("ti"):
            task_instance.xcom_push(key=SUMMARY_KEY, value=numbers)
        web_base_url = self.hook.get_conn().config.web_base_url
        first_bad = record_url(web_base_url, "lead", run.bad[0].lead_id) if run.bad else None
        tell_links(context, sell=first_bad, file=file_url(self.results_path))
        return numbers

    def _judge(self, run: BulkRun) -> None:
        error = run.verdict(self.max_failures)
        if error is None:
            return
        if self.results_path:
            error.message += f"\nWhat became of each lead is in {self.results_path}"
        if isinstance(error, DuplicateConversionError) or not (run.summary.unknown or run.summary.not_attempted):
            raise AirflowFailException(str(error)) from error
        raise error from run.stopped_by


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return value


def _within(name: str, value: int, maximum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise ValueError(f"{name} must be an integer from 1 to {maximum}, got {value!r}")
    return value


def _failures(value: float | None) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and (not is_number or value < 0 or (isinstance(value, float) and value > 1)):
        raise ValueError(f"max_failures must be an int from 0, a float from 0 to 1, or None, got {value!r}")
    return value
