"""Rows of a file of leads, in any format."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import IO

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.bulk.inputs.columns import Columns
from airflow_provider_leadconv.bulk.inputs.csv_rows import csv_rows
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.json_rows import json_rows
from airflow_provider_leadconv.bulk.inputs.parquet_rows import parquet_rows
from airflow_provider_leadconv.bulk.inputs.rows import InputRow
from airflow_provider_leadconv.bulk.inputs.streams import open_stream
from airflow_provider_leadconv.file_formats import FileFormat

_READERS: dict[str, Callable[[io.BufferedReader, str, Columns], Iterator[InputRow]]] = {
    "csv": csv_rows,
    "jsonl": json_rows,
    "parquet": parquet_rows,
}
_SIGNATURES = {
    b"PK\x03\x04": "is a zip archive, such as an Excel workbook (.xlsx): save it as CSV UTF-8, or unpack it",
    b"\xd0\xcf\x11\xe0": "is an Excel workbook (.xls): save it as CSV UTF-8",
    b"\x1f\x8b": "is compressed by gzip: give it a name that ends in .gz",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd: give it a name that ends in .zst",
    b"PAR1": "is Parquet: give it a name that ends in .parquet",
}
"""First bytes of files that some name for others."""


def rows_of_file(name: str, file: IO[bytes], columns: Columns | None = None) -> Iterator[InputRow]:
    """Read rows, of a results file too. For a line that cannot be read, the row is the error.

    :param name: path or name of the file; its extensions give the format, as of all files of this package.
    :param columns: finds the columns; default: those of the names that leads have.
    :raises InvalidLeadsError: if the format is none of these, or the file is not of its format.
    """
    try:
        file_format = FileFormat.by_extension(name, "the name of a file of leads")
    except InvalidRequestError as error:
        raise InvalidLeadsError(error.message) from error
    return _rows(file_format, name, file, columns or Columns())


def _rows(file_format: FileFormat, name: str, file: IO[bytes], columns: Columns) -> Iterator[InputRow]:
    try:
        with open_stream(file, file_format.compression) as stream:
            _check_signature(stream.peek(4)[:4], file_format.name)
            yield from _READERS[file_format.name](stream, name, columns)
    except ImportError as error:
        raise InvalidLeadsError(str(error)) from error


def _check_signature(head: bytes, file_format: str) -> None:
    for signature, sentence in _SIGNATURES.items():
        if head.startswith(signature) and not (file_format == "parquet" and signature == b"PAR1"):
            raise InvalidLeadsError(f"the file {sentence}")
    if not head and file_format == "parquet":
        raise InvalidLeadsError("the file is empty")
