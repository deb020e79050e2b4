"""Rows of Parquet."""

from __future__ import annotations

import io
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from airflow_provider_leadconv.bulk.inputs.columns import REASON, RESULT_COLUMNS, Columns, is_result
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.rows import InputRow
from airflow_provider_leadconv.bulk.inputs.values import narrow
from airflow_provider_leadconv.file_formats import name_missing_extra

log = logging.getLogger(__name__)

_ID_FIELDS = ("lead_id", "owner_id")


def parquet_rows(stream: io.BufferedReader, name: str, columns: Columns) -> Iterator[InputRow]:
    """Read the columns of leads, and no others.

    :param name: name of the file, for the log.
    :raises InvalidLeadsError: if there is no column of ids, or the file is not Parquet or damaged.
    :raises ImportError: if pyarrow is not installed.
    """

    def wanted(schema: Any) -> list[str]:
        names = schema.names
        found = columns.resolve(names, "schema")
        for field in _ID_FIELDS:
            if field in found:
                _check_width(schema.field(found[field]))
        of_results = (*RESULT_COLUMNS, REASON) if is_result(names) else ()
        return [*map(str, found.values()), *(column for column in of_results if column in names)]

    number = 0
    for number, row in enumerate(read_parquet(stream, wanted), 1):
        yield InputRow(f"row {number}", row)
    if not number:
        log.warning("%s has no rows: there is nothing to convert", name)


def _check_width(column: Any) -> None:
    from pyarrow.types import is_floating

    if is_floating(column.type) and column.type.bit_width < 64:
        raise InvalidLeadsError(narrow(f"column {column.name} is float{column.type.bit_width}"))


def read_parquet(stream: io.BufferedReader, wanted: Callable[[Any], list[str]]) -> Iterator[dict[str, Any]]:
    """Read rows of Parquet in batches.

    :param wanted: returns the names of the columns to read, given the ``pyarrow.Schema``.
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
            for batch in parquet.iter_batches(columns=wanted(parquet.schema_arrow)):
                yield from batch.to_pylist()
        except (ArrowException, OSError, ValueError, OverflowError) as error:
            if isinstance(error, InvalidLeadsError):
                raise
            raise InvalidLeadsError(f"the file is not Parquet, or damaged: {error}") from error
