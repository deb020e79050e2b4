"""Writers of tables with named columns: JSONL, CSV and Parquet, maybe compressed.

The same rows give the same bytes, even compressed, so that files of different runs can be compared by hash.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import IO, Any, Protocol

import msgspec
from typing_extensions import override

from airflow_provider_leadconv.file_formats import FileFormat, name_missing_extra

# A Parquet row group is in memory until it is written: about 5 MB.
_ROWS_PER_GROUP = 20_000
_FORMULA = re.compile(r"[\t\r\n']|[\s\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""How a text begins that a spreadsheet takes for a formula, also in full-width signs and after white space."""


class ColumnType(Enum):
    """Type of the values of a column, any of which may be ``None``."""

    INTEGER = "int64"
    BOOLEAN = "bool"
    TEXT = "string"
    TIME = "timestamp[us, UTC]"
    """A datetime in Parquet, text in JSONL and CSV."""


class Column(msgspec.Struct, frozen=True):
    """A column of a table.

    :param name: its name.
    :param type: type of its values.
    :param nullable: whether the Parquet schema allows null.
    """

    name: str
    type: ColumnType
    nullable: bool = True


class TableWriter(Protocol):
    """Writes rows to a file without closing it."""

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows, each with a value for each column."""
        ...

    def close(self) -> None:
        """Write buffered rows. Not called after an error."""
        ...


@contextmanager
def table_writer(file: IO[bytes], file_format: FileFormat, columns: Sequence[Column]) -> Iterator[TableWriter]:
    """Open a writer of rows. The file is complete when the ``with`` block ends without an error.

    :param file: file open for writing; it is not closed.
    :param file_format: format of the rows.
    :param columns: the columns.
    :return: a context manager with the writer.
    :raises ImportError: if the format needs pyarrow or zstandard, which are extras of this package.
    """
    with compressed(file, file_format.compression) as stream:
        writer: TableWriter = _WRITERS[file_format.name](stream, columns)
        yield writer
        writer.close()


@contextmanager
def compressed(file: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    """Compress what is written to a file. It is complete when the ``with`` block ends without an error.

    :param file: file open for writing; it is not closed.
    :param compression: ``gzip``, ``zstd`` or ``None``.
    :return: a context manager with the file to write to.
    :raises ImportError: if zstandard is needed and not installed.
    """
    if compression is None:
        yield file
        return
    stream = _gzip_stream(file) if compression == "gzip" else _zstd_stream(file)
    yield stream
    stream.close()


def check_installed(file_format: FileFormat) -> None:
    """Check that the libraries for a format are installed, before any request.

    :raises ImportError: if pyarrow or zstandard is missing; the message names the extra of this package.
    """
    with table_writer(io.BytesIO(), file_format, [Column("id", ColumnType.INTEGER)]):
        pass


def escape_formula(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula when it opens it as CSV: after an apostrophe."""
    return f"'{text}" if _FORMULA.match(text) else text


def unescape_formula(text: str) -> str:
    """Return the text that :func:`escape_formula` was given."""
    return text.removeprefix("'")


def _gzip_stream(file: IO[bytes]) -> IO[bytes]:
    # No time and no name in the header: the bytes of every run would differ.
    return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)  # type: ignore[return-value]


def _zstd_stream(file: IO[bytes]) -> IO[bytes]:
    with name_missing_extra("zstd"):
        import zstandard

    stream: IO[bytes] = zstandard.ZstdCompressor().stream_writer(file, closefd=False)
    return stream


class _JsonLines(TableWriter):
    """JSON Lines: one object per line."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        self._file = file
        self._names = [column.name for column in columns]

    @override
    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        records = [dict(zip(self._names, row, strict=True)) for row in rows]
        self._file.write(msgspec.json.Encoder().encode_lines(records))

    @override
    def close(self) -> None:
        pass


class _Csv(TableWriter):
    """RFC 4180 with a header. Null is empty; text that a spreadsheet would take for a formula is escaped."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        self._file = file
        self._booleans = [number for number, column in enumerate(columns) if column.type is ColumnType.BOOLEAN]
        self._texts = [number for number, column in enumerate(columns) if column.type is ColumnType.TEXT]
        self._write([[column.name for column in columns]])

    @override
    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        self._write([self._cells(row) for row in rows] if self._texts or self._booleans else rows)

    @override
    def close(self) -> None:
        pass

    def _cells(self, row: Sequence[Any]) -> Sequence[Any]:
        cells = list(row)
        for number in self._booleans:
            if cells[number] is not None:
                cells[number] = str(cells[number]).lower()
        for number in self._texts:
            if cells[number] is not None:
                cells[number] = escape_formula(cells[number])
        return cells

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue().encode())


class _Parquet(TableWriter):
    """Typed columns. Row groups are buffered."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        with name_missing_extra("parquet"):
            import pyarrow as pa
            from pyarrow import parquet

        types = {
            ColumnType.INTEGER: pa.int64(),
            ColumnType.BOOLEAN: pa.bool_(),
            ColumnType.TEXT: pa.string(),
            ColumnType.TIME: pa.timestamp("us", tz="UTC"),
        }
        self._schema = pa.schema([pa.field(each.name, types[each.type], nullable=each.nullable) for each in columns])
        self._new_table = pa.table
        self._writer: Any = parquet.ParquetWriter(file, self._schema)
        self._columns: list[list[Any]] = [[] for _ in columns]

    @override
    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        for column, values in zip(self._columns, zip(*rows, strict=True), strict=False):  # no columns if no rows
            column.extend(values)
        if len(self._columns[0]) >= _ROWS_PER_GROUP:
            self._flush()

    @override
    def close(self) -> None:
        if self._columns[0]:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._new_table(self._columns, schema=self._schema))
        self._columns = [[] for _ in self._columns]


_WRITERS: dict[str, type[_JsonLines | _Csv | _Parquet]] = {"jsonl": _JsonLines, "csv": _Csv, "parquet": _Parquet}
