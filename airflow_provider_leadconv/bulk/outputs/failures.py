"""The leads that a run did not convert, in a file for whoever can do something about it. It is a file of leads, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from airflow_provider_leadconv.api.models import ConversionStatus
from airflow_provider_leadconv.bulk.inputs.columns import REASON
from airflow_provider_leadconv.bulk.outputs.records import ResultError, ResultRecord
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.base import Folder
from airflow_provider_leadconv.table_files import Column, ColumnType, table_writer

NOT_CONVERTED = (ConversionStatus.FAILED, ConversionStatus.UNKNOWN, ConversionStatus.NOT_ATTEMPTED)
"""The statuses of the leads in the file."""

COLUMNS = (
    Column("lead_id", ColumnType.INTEGER, nullable=False),
    Column(REASON, ColumnType.TEXT),
    Column("http_status", ColumnType.INTEGER),
    Column("field", ColumnType.TEXT),
    Column("link", ColumnType.TEXT),
    Column("status", ColumnType.TEXT),
    Column("owner_id", ColumnType.INTEGER),
    Column("create_deal", ColumnType.BOOLEAN),
    Column("run", ColumnType.TEXT),
)

_NO_REASON = "The run was stopped before this lead was converted"
_ROWS_PER_WRITE = 1_000


class FailuresFile:
    """The file of failures of one run, which is replaced each time that the run publishes its results.

    :param folder: where it goes.
    :param name: its name, whose extensions give the format.
    :param link_of: returns the link to a lead in Sell.
    :raises InvalidRequestError: if the name has no extension of a format.
    """

    def __init__(self, folder: Folder, name: str, link_of: Callable[[int], str]) -> None:
        self.rows: int | None = None
        """How many leads it has; ``None`` until it is published."""
        self._folder = folder
        self._name = name
        self._format = FileFormat.by_extension(name, "failures_path")
        self._link_of = link_of

    def publish(self, records: Iterable[ResultRecord]) -> None:
        """Write the file. Without failures, it has a header and no rows.

        :param records: the results of all leads.
        """
        rows = (self._row(record) for record in records if record.status in NOT_CONVERTED)
        number = 0
        with self._folder.draft(self._name) as draft:
            with table_writer(draft, self._format, COLUMNS) as writer:
                while batch := list(islice(rows, _ROWS_PER_WRITE)):
                    writer.write(batch)
                    number += len(batch)
            self._folder.publish(draft, self._name)
        self.rows = number

    def _row(self, record: ResultRecord) -> list[Any]:
        error = record.error or ResultError(text=_NO_REASON)
        return [
            record.lead_id,
            error.text,
            error.http_status,
            error.field,
            self._link_of(record.lead_id),
            record.status,
            record.owner_id,
            record.create_deal,
            record.run,
        ]
