"""Rows of leads from a file: CSV with a header, JSONL or Parquet, read as a stream."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError


def rows_of_file(name: str, file: IO[bytes]) -> Iterator[Any]:
    """Read rows, of a results file too. For a line that cannot be read, the row is the error.

    :param name: name of the file; its suffixes tell the format: ``.csv``, ``.jsonl`` or ``.ndjson``, both maybe with
        ``.gz``, or ``.parquet``.
    :raises InvalidRequestError: if the format is none of these, or the file is not of its format.
    """
    suffixes = name.lower().split(".")[1:]
    compressed = suffixes[-1:] == ["gz"]
    suffix = suffixes[-2] if compressed and len(suffixes) > 1 else (suffixes or [""])[-1]
    read = _READERS.get(suffix)
    if read is None or (compressed and suffix == "parquet"):
        raise InvalidRequestError(f"leads_path must end in .csv, .jsonl or .ndjson (maybe .gz), or .parquet: {name}")
    return _unzipped(read, file) if compressed else read(file)


def _unzipped(read: Callable[[IO[bytes]], Iterator[Any]], file: IO[bytes]) -> Iterator[Any]:
    try:
        with gzip.open(file) as unzipped:
            yield from read(cast("IO[bytes]", unzipped))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidRequestError(f"leads_path is no gzip file, or not a whole one: {error}") from error


def _csv_rows(file: IO[bytes]) -> Iterator[Any]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        try:
            if "lead_id" not in (reader.fieldnames or ()):
                raise InvalidRequestError("the first line of leads_path must name the columns, lead_id among them")
            for row in reader:
                ragged = None in row or None in row.values()
                yield _ragged(reader.line_num) if ragged else row
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidRequestError(f"leads_path line {reader.line_num} is no CSV: {error}") from error


def _ragged(line: int) -> InvalidRequestError:
    return InvalidRequestError(f"line {line} has not as many fields as the header")


def _json_rows(file: IO[bytes]) -> Iterator[Any]:
    # Not `in file`: what Airflow 2.11 and 3.0 open cannot be iterated over.
    for number, line in enumerate(iter(file.readline, b""), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                yield InvalidRequestError(f"line {number} is no JSON: {error}")


def _parquet_rows(file: IO[bytes]) -> Iterator[Any]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise InvalidRequestError("reading Parquet needs: pip install 'airflow-provider-leadconv[parquet]'") from error
    try:
        for batch in ParquetFile(file).iter_batches():
            yield from batch.to_pylist()
    except ArrowInvalid as error:
        raise InvalidRequestError(f"leads_path is no Parquet file: {error}") from error


_READERS: dict[str, Callable[[IO[bytes]], Iterator[Any]]] = {
    "csv": _csv_rows,
    "jsonl": _json_rows,
    "ndjson": _json_rows,
    "parquet": _parquet_rows,
}
