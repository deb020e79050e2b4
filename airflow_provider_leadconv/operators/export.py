"""The export operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.records import as_bool
from airflow_provider_leadconv.failing import permanent_errors_fail
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.links import FileLink, file_url, tell_links
from airflow_provider_leadconv.metrics import count

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_leadconv.jobs.export import ExportSummary
    from airflow_provider_leadconv.jobs.reading import Selection


class LeadConversionExportOperator(BaseOperator):
    """Export lead conversions to a file or a folder, on a disk or in an object store.

    A file appears when it is whole. A folder gets part files, and then ``_manifest.json``, which lists them: whoever
    follows it sees whole exports only. If a run fails, what was there stays.

    :param path: a file, or a folder if it ends in a slash, wherever :class:`ObjectStoragePath` reaches:
        ``/data/conversions.jsonl``, ``s3://aws_default@bucket/conversions/``. (templated)
    :param file_format: ``jsonl`` (every key the API sent), or ``csv`` or ``parquet`` (the documented columns); default:
        what the path ends with, and ``jsonl`` for a folder. (templated)
    :param compression: ``gzip`` or ``zstd``, for ``jsonl`` and ``csv``; default: what the path ends with. (templated)
    :param lead_id: only the conversion of this lead. (templated)
    :param individual_id: only conversions to this contact. (templated)
    :param organization_id: only conversions to this contact. (templated)
    :param deal_id: only conversions that made this deal. (templated)
    :param creator_id: only conversions by this user. (templated)
    :param created_from: only conversions created then or later, a datetime or ISO 8601. (templated)
    :param created_until: only conversions created earlier. The run waits until 5 minutes after it. (templated)
    :param incremental: add to a folder what is new since its last manifest. The first run exports everything. What must
        not change between runs (account, host, format, filters) is an error if it does.
    :param full: start an incremental folder over, a bool or "true" or "false". (templated)
    :param rows_per_file: rows a part of a folder; default: 100,000. A killed run goes on after its last whole part.
    :param verify_complete: walk the listing a second time and compare it with what the files of the folder hold, read
        back. What was missing is added, and the manifest says what was found.
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :return: ``path``, ``rows``, ``min_id``, ``max_id``, ``bytes``, ``api_calls`` and ``duration_s``.
    :raises InvalidRequestError: when the DAG is parsed, if parameters exclude each other.
    :raises AirflowFailException: if the connection, the token or a parameter is wrong.
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
        incremental: bool = False,
        full: bool | str = False,
        rows_per_file: int | None = None,
        verify_complete: bool = False,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if incremental and (created_from is not None or created_until is not None):
            raise InvalidRequestError(
                "incremental excludes created_from and created_until: it goes by ids, not by times"
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
        self.verify_complete = verify_complete
        self.leadconv_conn_id = leadconv_conn_id
        self._summary: ExportSummary | None = None
        # A path that does not end in a template says before it is rendered whether it is a folder.
        if not str(self.path).endswith(("/", "}")):
            self._refuse_options_of_folders(full=self.full is not False)

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook, made when the task runs."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Export.

        :return: what was exported; see the class.
        """
        with permanent_errors_fail():
            export = self._export_folder if self.path.endswith("/") else self._export_file
            summary = export(self._selection())
        self._summary = summary
        self.log.info("Exported %d conversions to %s (%d bytes)", summary.rows, self.path, summary.bytes)
        count(exported_rows=summary.rows)
        tell_links(context, file=file_url(self.path))
        return {"path": self.path, **msgspec.structs.asdict(summary)}

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any]:  # noqa: ARG002
        """:return: the account's conversions and the file or folder; nothing if the task did not come so far.

        :param task_instance: not needed.
        """
        from airflow_provider_leadconv import lineage

        if self._summary is None:
            return lineage.lineage(inputs=[], outputs=[])
        written = lineage.file_written(self.path, rows=self._summary.rows, size=self._summary.bytes)
        return lineage.lineage(
            inputs=[lineage.conversions_read(self.hook.get_conn().config.account)], outputs=[written]
        )

    def _export_file(self, selection: Selection) -> ExportSummary:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_leadconv.jobs.export import export_file
        from airflow_provider_leadconv.jobs.storage import folder_of
        from airflow_provider_leadconv.jobs.writers import FileFormat

        self._refuse_options_of_folders(full=as_bool(self.full, "full"))
        target = ObjectStoragePath(self.path)
        how = FileFormat.of(target.name, file_format=self.file_format, compression=self.compression)
        with self.hook.get_conn() as client:
            return export_file(client, selection, folder_of(target.parent), target.name, how)

    def _export_folder(self, selection: Selection) -> ExportSummary:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_leadconv.jobs.dataset import ROWS_PER_FILE, DatasetOptions, export_dataset
        from airflow_provider_leadconv.jobs.storage import folder_of
        from airflow_provider_leadconv.jobs.writers import FileFormat

        how = FileFormat(file_format=self.file_format or "jsonl", compression=self.compression)
        options = DatasetOptions(
            rows_per_file=ROWS_PER_FILE if self.rows_per_file is None else self.rows_per_file,
            incremental=self.incremental,
            full=as_bool(self.full, "full"),
            verify_complete=self.verify_complete,
        )
        with self.hook.get_conn() as client:
            return export_dataset(client, selection, folder_of(ObjectStoragePath(self.path)), how, options)

    def _selection(self) -> Selection:
        from airflow_provider_leadconv.api.wire import FILTERS, ListQuery
        from airflow_provider_leadconv.jobs.reading import Selection, as_time

        return Selection(
            query=ListQuery(**{name: getattr(self, name) for name in FILTERS}),
            created_from=as_time(self.created_from, "created_from"),
            created_until=as_time(self.created_until, "created_until"),
        )

    def _refuse_options_of_folders(self, *, full: bool) -> None:
        options = {
            "incremental": self.incremental,
            "full": full,
            "rows_per_file": self.rows_per_file is not None,
            "verify_complete": self.verify_complete,
        }
        wrong = [name for name, is_set in options.items() if is_set]
        if wrong:
            raise InvalidRequestError(f"{', '.join(wrong)} needs a folder: end the path with a slash")
