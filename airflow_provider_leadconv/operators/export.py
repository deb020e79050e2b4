"""The export operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import as_bool
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.hooks.parameters import check_seconds
from airflow_provider_leadconv.hooks.paths import path_errors, storage_path
from airflow_provider_leadconv.hooks.permanent_errors import fail_without_retry
from airflow_provider_leadconv.hooks.task_progress import reporting_progress
from airflow_provider_leadconv.links import FileLink, file_url, set_links
from airflow_provider_leadconv.metrics import count
from airflow_provider_leadconv.progress import Progress
from airflow_provider_leadconv.xcoms import as_outputs

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_leadconv.export.lock import LockOptions
    from airflow_provider_leadconv.export.selection import Selection
    from airflow_provider_leadconv.export.summary import ExportSummary


class LeadConversionExportOperator(BaseOperator):
    """Export lead conversions to a file or a folder, on a disk or in an object store.

    Files are published atomically. A folder has part files and ``_manifest.json``, which lists them and is written
    last: readers of the manifest only see complete exports. If a run fails, the previous export is kept.

    :param path: a file, or a folder if it ends with a slash, as an :class:`ObjectStoragePath`:
        ``/data/conversions.jsonl``, ``s3://aws_default@bucket/conversions/``. (templated)
    :param file_format: ``jsonl`` (every key the API sent), or ``csv`` or ``parquet`` (the documented columns); default:
        by the extension of the path, and ``jsonl`` for a folder. (templated)
    :param compression: ``gzip`` or ``zstd``, for ``jsonl`` and ``csv``; default: by the extension of the path.
        (templated)
    :param lead_id: only the conversion of this lead. (templated)
    :param individual_id: only conversions to this contact. (templated)
    :param organization_id: only conversions to this contact. (templated)
    :param deal_id: only conversions that created this deal. (templated)
    :param creator_id: only conversions by this user. (templated)
    :param created_from: only conversions created at this time or later, a datetime or ISO 8601 text. (templated)
    :param created_until: only conversions created before this time. The run waits until 5 minutes after it. (templated)
    :param incremental: add the conversions that are new since the last manifest to a folder: a bool, or "true" or
        "false". The first run exports all.
        The account, the host, the format and the filters must not change between runs.
    :param full: start an incremental export over: a bool, or "true" or "false". (templated)
    :param rows_per_file: rows per part of a folder; default: 100,000. The next run after a killed one continues after
        its last part.
    :param verify_complete: read the files of the folder back and compare them with a second pass over the listing.
        Missing rows are added, and the manifest has the result. A bool, or "true" or "false".
    :param lock_timeout: seconds to wait while another run writes to the same file or folder; 0 to fail at once. An
        object store has no locks: there, the run that publishes second fails. Default: 10 minutes.
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :return: ``path``, ``rows``, ``min_id``, ``max_id``, ``bytes``, ``api_calls`` and ``duration_s``.
    :raises InvalidRequestError: when the DAG is parsed, if parameters exclude each other.
    :raises AirflowFailException: if the connection, the token or a parameter is invalid.
    """

    template_fields: Sequence[str] = (
        "path",
        "file_format",
        "compression",
        "lead_id",
        "individual_id",
        "organization_id",
        "deal_id",
        "creator_id",
        "created_from",
        "created_until",
        "full",
        "leadconv_conn_id",
    )
    operator_extra_links = (FileLink(),)
    ui_color = "#d4ebe6"

    def __init__(
        self,
        *,
        path: str,
        file_format: str | None = None,
        compression: str | None = None,
        lead_id: int | str | None = None,
        individual_id: int | str | None = None,
        organization_id: int | str | None = None,
        deal_id: int | str | None = None,
        creator_id: int | str | None = None,
        created_from: datetime | str | None = None,
        created_until: datetime | str | None = None,
        incremental: bool | str = False,
        full: bool | str = False,
        rows_per_file: int | None = None,
        verify_complete: bool | str = False,
        lock_timeout: float = 600.0,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("multiple_outputs", True)
        super().__init__(**kwargs)
        incremental = as_bool(incremental, "incremental")
        if incremental and (created_from is not None or created_until is not None):
            raise InvalidRequestError(
                "incremental cannot be combined with created_from and created_until, since it goes by ids"
            )
        self.path = path
        self.file_format = file_format
        self.compression = compression
        self.lead_id = lead_id
        self.individual_id = individual_id
        self.organization_id = organization_id
        self.deal_id = deal_id
        self.creator_id = creator_id
        self.created_from = created_from
        self.created_until = created_until
        self.incremental = incremental
        self.full = full
        self.rows_per_file = rows_per_file
        self.verify_complete = as_bool(verify_complete, "verify_complete")
        self.lock_timeout = check_seconds("lock_timeout", lock_timeout)
        self.leadconv_conn_id = leadconv_conn_id
        self._summary: ExportSummary | None = None
        # Whether a path is a folder is known before it is rendered, unless it ends with a template.
        if not str(self.path).endswith(("/", "}")):
            self._reject_folder_options(full=self.full is True)

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook, created when the task runs."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Export the conversions.

        :return: the summary.
        """
        with fail_without_retry(), reporting_progress(context) as progress:
            export = self._export_folder if self.path.endswith("/") else self._export_file
            summary = export(self._selection(), self._lock_options(context))
            progress.write(Progress(f"Exported {summary.rows} conversions", summary.rows, summary.rows))
        self._summary = summary
        if summary.rows or not self.incremental:
            self.log.info("Exported %d conversions to %s (%d bytes)", summary.rows, self.path, summary.bytes)
        count(exported_rows=summary.rows)
        set_links(self, context, file=file_url(self.path))
        return as_outputs({"path": self.path, **msgspec.structs.asdict(summary)})

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """Return the lineage: the account's conversions, and the file or folder. It is empty if the task failed.

        :param task_instance: unused.
        """
        from airflow_provider_leadconv import lineage

        if self._summary is None:
            return lineage.operator_lineage(inputs=[], outputs=[])
        written = lineage.file_written(self.path, rows=self._summary.rows, size=self._summary.bytes)
        return lineage.operator_lineage(
            inputs=[lineage.conversions_read(self.hook.get_conn().config.account)], outputs=[written]
        )

    def _export_file(self, selection: Selection, lock: LockOptions) -> ExportSummary:
        from airflow_provider_leadconv.export.file import export_file
        from airflow_provider_leadconv.file_formats import FileFormat
        from airflow_provider_leadconv.storage.locations import folder_of

        self._reject_folder_options(full=as_bool(self.full, "full"))
        target = storage_path("path", self.path)
        file_format = FileFormat.from_name(target.name, file_format=self.file_format, compression=self.compression)
        with self.hook.get_conn() as client, path_errors("path", self.path):
            return export_file(client, selection, folder_of(target.parent), target.name, file_format, lock)

    def _export_folder(self, selection: Selection, lock: LockOptions) -> ExportSummary:
        from airflow_provider_leadconv.export.folder import ROWS_PER_FILE, FolderOptions, export_folder
        from airflow_provider_leadconv.file_formats import FileFormat
        from airflow_provider_leadconv.storage.locations import folder_of

        file_format = FileFormat(name=self.file_format or "jsonl", compression=self.compression)
        options = FolderOptions(
            rows_per_file=ROWS_PER_FILE if self.rows_per_file is None else self.rows_per_file,
            incremental=self.incremental,
            full=as_bool(self.full, "full"),
            verify_complete=self.verify_complete,
        )
        folder = folder_of(storage_path("path", self.path))
        with self.hook.get_conn() as client, path_errors("path", self.path):
            return export_folder(client, selection, folder, file_format, options, lock)

    def _lock_options(self, context: Context) -> LockOptions:
        from airflow_provider_leadconv.export.lock import LockOptions

        ti = context.get("ti")
        holder = f"run {ti.run_id} of task {ti.dag_id}.{ti.task_id}" if ti is not None else ""
        return LockOptions(timeout=self.lock_timeout, holder=holder)

    def _selection(self) -> Selection:
        from airflow_provider_leadconv.api.queries import FILTERS, ListQuery
        from airflow_provider_leadconv.export.selection import Selection, as_time

        return Selection(
            query=ListQuery(**{name: getattr(self, name) for name in FILTERS}),
            created_from=as_time(self.created_from, "created_from"),
            created_until=as_time(self.created_until, "created_until"),
        )

    def _reject_folder_options(self, *, full: bool) -> None:
        options = {
            "incremental": self.incremental,
            "full": full,
            "rows_per_file": self.rows_per_file is not None,
            "verify_complete": self.verify_complete,
        }
        folder_options = [name for name, is_set in options.items() if is_set]
        if folder_options:
            raise InvalidRequestError(f"{', '.join(folder_options)} requires a folder: end the path with a slash")
