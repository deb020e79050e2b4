"""Rows of Parquet."""

from __future__ import annotations

import io
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_leadconv.bulk.inputs.columns import REASON, RESULT_COLUMNS, SETTINGS, Columns, is_result
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.rows import InputRow
from airflow_provider_leadconv.file_formats import name_missing_extra

log = logging.getLogger(__name__)

RESULT_FIELDS = ("lead_id", *SETTINGS, *RESULT_COLUMNS, REASON)
"""What is read of a file of results or failures."""


def parquet_rows(stream: io.BufferedReader, name: str, columns: Columns) -> Iterator[InputRow]:
    """Read the columns of leads, and no others.

    :param name: name of the file, for the log.
    :raises InvalidLeadsError: if there is no column of ids, or the file is not Parquet or damaged.
    :raises ImportError: if pyarrow is not installed.
    """

    def wanted(names: list[str]) -> list[str]:
        found = [str(column) for column in columns.resolve(names, "schema").values()]
        return [column for column in RESULT_FIELDS if column in names] if is_result(names) else found

    number = 0
    for number, row in enumerate(read_parquet(stream, wanted), 1):
        yield InputRow(f"row {number}", row)
    if not number:
        log.warning("%s has no rows: there is nothing to convert", name)


def read_parquet(stream: io.BufferedReader, wanted: Callable[[list[str]], list[str]]) -> Iterator[dict[str, Any]]:
    """Read rows of Parquet in batches.

    :param wanted: chooses the columns to read by the names of all.
    :raises InvalidLeadsError: if the file is not Parquet or damaged.
    :raises ImportError: if pyarrow is not installed.
    """
    with name_missing_extra("parquet"):
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

    with tempfile.TemporaryFile() as file:
        # A copy: Parquet is read from its end, and an OSError now is one of the file's place, later one of its content.
        shutil.copyfileobj(stream, file)
        try:
            parquet = ParquetFile(file, page_checksum_verification=True)
            for batch in parquet.iter_batches(columns=wanted(parquet.schema_arrow.names)):
                yield from batch.to_pylist()
        except (ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, InvalidLeadsError):
                raise
            raise InvalidLeadsError(f"the file is not Parquet, or damaged: {error}") from error
