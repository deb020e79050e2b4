"""The export operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_leadconv.failing import permanent_errors_fail
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_leadconv.jobs.reading import Selection


class LeadConversionExportOperator(BaseOperator):
    """Export lead conversions to a file, on a disk or in an object store.

    The file appears when it is whole. Until then, and if the run fails, what was there stays.

    :param path: the file, wherever :class:`ObjectStoragePath` reaches: ``/data/conversions.jsonl``,
        ``s3://aws_default@bucket/conversions.csv.gz``. (templated)
    :param file_format: ``jsonl`` (every key the API sent), or ``csv`` or ``parquet`` (the documented columns); default:
        what the path ends with. (templated)
    :param compression: ``gzip`` or ``zstd``, for ``jsonl`` and ``csv``; default: what the path ends with. (templated)
    :param lead_id: only the conversion of this lead. (templated)
    :param individual_id: only conversions to this contact. (templated)
    :param organization_id: only conversions to this contact. (templated)
    :param deal_id: only conversions that made this deal. (templated)
    :param creator_id: only conversions by this user. (templated)
    :param created_from: only conversions created then or later, a datetime or ISO 8601. (templated)
    :param created_until: only conversions created earlier. The run waits until 5 minutes after it. (templated)
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :return: ``path``, ``rows``, ``min_id``, ``max_id``, ``bytes``, ``api_calls`` and ``duration_s``.
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
        "leadconv_conn_id",
    )
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
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        self.leadconv_conn_id = leadconv_conn_id

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook, made when the task runs."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  # nothing of it is needed
        """Export.

        :return: what was exported; see the class.
        """
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        from airflow_provider_leadconv.jobs.export import export_file
        from airflow_provider_leadconv.jobs.storage import folder_of
        from airflow_provider_leadconv.jobs.writers import FileFormat

        with permanent_errors_fail():
            target = ObjectStoragePath(self.path)
            how = FileFormat.of(target.name, file_format=self.file_format, compression=self.compression)
            selection = self._selection()
            with self.hook.get_conn() as client:
                summary = export_file(client, selection, folder_of(target.parent), target.name, how)
        self.log.info("Exported %d conversions to %s (%d bytes)", summary.rows, self.path, summary.bytes)
        return {"path": self.path, **msgspec.structs.asdict(summary)}

    def _selection(self) -> Selection:
        from airflow_provider_leadconv.api.wire import FILTERS, ListQuery
        from airflow_provider_leadconv.jobs.reading import Selection, as_time

        return Selection(
            query=ListQuery(**{name: getattr(self, name) for name in FILTERS}),
            created_from=as_time(self.created_from, "created_from"),
            created_until=as_time(self.created_until, "created_until"),
        )
