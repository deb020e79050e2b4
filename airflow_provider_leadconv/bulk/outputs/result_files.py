"""Files of results, in the format that their names stand for: one row per lead."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import IO, Any, TypeVar

import msgspec

from airflow_provider_leadconv.api.exceptions import JSON_ERRORS, InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.bulk.inputs.parquet_rows import read_parquet
from airflow_provider_leadconv.bulk.inputs.streams import open_stream
from airflow_provider_leadconv.bulk.outputs.records import CONVERSION_IDS, ResultError, ResultRecord, decode_result
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.table_files import Column, ColumnType, compressed, table_writer, unescape_formula

T = TypeVar("T")

_ROWS_PER_WRITE = 1_000
_ERROR_PREFIX = "error_"
"""What the columns of the error begin with in CSV and Parquet. In JSONL, it is an object."""

_INTEGER, _BOOLEAN, _TEXT, _TIME = ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.TEXT, ColumnType.TIME
_ERROR_COLUMNS = [f"{_ERROR_PREFIX}{name}" for name in ResultError.__struct_fields__]
_TYPES = {
    "lead_id": _INTEGER,
    "owner_id": _INTEGER,
    "create_deal": _BOOLEAN,
    "status": _TEXT,
    "conversion_id": _INTEGER,
    **dict.fromkeys(CONVERSION_IDS, _INTEGER),
    "created_at": _TIME,
    "error_http_status": _INTEGER,
    **dict.fromkeys(("error_code", "error_field", "error_text", "run"), _TEXT),
    "start_watermark": _INTEGER,
}
"""The columns in CSV and Parquet."""


def write_results(file: IO[bytes], file_format: FileFormat, lines: Iterable[bytes]) -> None:
    """Write results.

    :param lines: a :class:`~.records.ResultRecord` in JSON each, without a newline.
    :raises ImportError: if the format needs a library that is not installed.
    """
    if file_format.name == "jsonl":
        with compressed(file, file_format.compression) as stream:
            for line in lines:
                stream.write(line + b"\n")
        return
    is_typed = file_format.name == "parquet"
    columns = [Column(name, type_ if is_typed or type_ is not _TIME else _TEXT) for name, type_ in _TYPES.items()]
    with table_writer(file, file_format, columns) as writer:
        rows: list[list[Any]] = []
        for line in lines:
            rows.append(_row(decode_result(line), is_typed=is_typed))
            if len(rows) == _ROWS_PER_WRITE:
                writer.write(rows)
                rows = []
        writer.write(rows)


def read_records(name: str, file: IO[bytes], what: str) -> Iterator[ResultRecord]:
    """Read results lazily.

    :param name: path or name of the file; its extensions give the format.
    :param file: the open file; it is not closed.
    :param what: begin of the message if it cannot be read, such as ``x.csv is no results file``.
    :raises InvalidRequestError: naming the line, if the file is damaged or holds something else.
    :raises ImportError: if the format needs a library that is not installed.
    """
    file_format = FileFormat.by_extension(name, "the name of a results file")
    try:
        with open_stream(file, file_format.compression) as stream:
            if file_format.name == "jsonl":
                for number, line in enumerate(stream, 1):
                    yield _checked(f"line {number}", decode_result, line)
            elif file_format.name == "csv":
                for place, cells in _csv_rows(stream):
                    yield _checked(place, _record, cells)
            else:
                for number, row in enumerate(read_parquet(stream, lambda schema: schema.names), 1):
                    yield _checked(f"row {number}", _record, row)
    except InvalidRequestError as error:
        raise InvalidRequestError(f"{what}: {error.message}", remedy="") from error


def _checked(place: str, decode: Callable[[T], ResultRecord], value: T) -> ResultRecord:
    try:
        return decode(value)
    except JSON_ERRORS as error:
        raise InvalidRequestError(f"{place}: {error}") from error


def _csv_rows(stream: io.BufferedReader) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read rows with their places. They are as they were written, unlike those of other CSV files of leads."""
    reader = csv.reader((line.decode() for line in stream), strict=True)
    place = "line 1"
    try:
        header = next(reader, [])
        place = f"line {reader.line_num + 1}"
        for cells in reader:
            if len(cells) != len(header):
                raise InvalidRequestError(f"{place}: {len(cells)} fields, but {len(header)} in the header")
            yield place, {name: _text_of(cell) for name, cell in zip(header, cells, strict=True)}
            place = f"line {reader.line_num + 1}"
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"{place}: {error}") from error


def _text_of(cell: str) -> str | None:
    return unescape_formula(cell) if cell else None


def _row(record: ResultRecord, *, is_typed: bool) -> list[Any]:
    """Return the values of the columns of a record.

    :param is_typed: return ``created_at`` as a datetime, which is ``None`` if the API sent none; otherwise as it sent
        it.
    """
    values = msgspec.structs.asdict(record) | dict.fromkeys(_ERROR_COLUMNS)
    if record.error:
        facts = msgspec.structs.asdict(record.error)
        values |= {f"{_ERROR_PREFIX}{name}": value for name, value in facts.items()}
    values["created_at"] = _time(record.created_at) if is_typed else _text(record.created_at)
    return [values[name] for name in _TYPES]


def _record(row: Mapping[str, Any]) -> ResultRecord:
    """Return the record of a row of CSV or Parquet."""
    values = {name: value for name, value in row.items() if not name.startswith(_ERROR_PREFIX)}
    error = {
        name.removeprefix(_ERROR_PREFIX): value
        for name, value in row.items()
        if name.startswith(_ERROR_PREFIX) and value is not None
    }
    if isinstance(moment := values.get("created_at"), datetime):
        values["created_at"] = moment.isoformat().replace("+00:00", "Z")
    return msgspec.convert(values | {"error": error or None}, ResultRecord, strict=False)


def _time(created_at: Any) -> datetime | None:
    return LeadConversion(id=1, lead_id=1, created_at_raw=created_at).created_at


def _text(created_at: Any) -> str | None:
    return created_at if created_at is None or isinstance(created_at, str) else msgspec.json.encode(created_at).decode()
