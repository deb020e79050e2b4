"""Conversions -> the bytes of a file, in the formats an export has.

The same rows give the same bytes, compression included, so that a rerun can be compared with the run it repeats.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import IO, Any, Protocol

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.records import LeadConversion

log = logging.getLogger(__name__)

FILE_FORMATS = ("jsonl", "csv", "parquet")
_SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
COMPRESSIONS = tuple(_SUFFIXES)
ID_COLUMNS = ("id", "lead_id", "individual_id", "organization_id", "deal_id", "creator_id")
COLUMNS = (*ID_COLUMNS, "created_at")
"""The columns of CSV, Parquet and SQL, in the vendor's order."""

# Parquet keeps its rows in memory until a row group is full: some 5 MB.
_ROWS_PER_GROUP = 20_000


class FileFormat(msgspec.Struct, frozen=True, kw_only=True):
    """How rows become bytes.

    :param file_format: ``jsonl``, ``csv`` or ``parquet``.
    :param compression: ``gzip``, ``zstd`` or ``None``. Parquet compresses its own pages and takes none.
    :raises InvalidRequestError: naming the value that is none of these.
    """

    file_format: str = "jsonl"
    compression: str | None = None

    def __post_init__(self) -> None:
        if self.file_format not in FILE_FORMATS:
            raise InvalidRequestError(f"file_format must be one of {', '.join(FILE_FORMATS)}, got {self.file_format!r}")
        if self.compression is not None and self.compression not in COMPRESSIONS:
            raise InvalidRequestError(f"compression must be gzip, zstd or None, got {self.compression!r}")
        if self.compression is not None and self.file_format == "parquet":
            raise InvalidRequestError("compression is for jsonl and csv; a parquet file is compressed within")

    @property
    def suffix(self) -> str:
        """What the names of such files end with."""
        return f".{self.file_format}{_SUFFIXES.get(self.compression or '', '')}"

    @classmethod
    def of(cls, name: str, *, file_format: str | None, compression: str | None) -> FileFormat:
        """Take the format from a file's name, where it is not given.

        :param name: name of a file, or of a folder, which says nothing.
        :raises InvalidRequestError: if the name does not say, or says something else than what is given.
        """
        named = _named_format(name)
        for what, given, said in (("file_format", file_format, named[0]), ("compression", compression, named[1])):
            if given is not None and named[0] is not None and given != said:
                raise InvalidRequestError(f"{what} is {given!r}, but the name {name!r} says {said!r}; drop one of them")
        if file_format is None and named[0] is None:
            raise InvalidRequestError(
                f"{name!r} does not end in .jsonl, .csv (maybe with .gz or .zst) or .parquet; "
                "give it such an ending, or set file_format"
            )
        return cls(file_format=file_format or named[0] or "", compression=compression or named[1])


def _named_format(name: str) -> tuple[str | None, str | None]:
    stem, compression = name, None
    for word, suffix in _SUFFIXES.items():
        if name.endswith(suffix):
            stem, compression = name.removesuffix(suffix), word
    file_format = next((word for word in FILE_FORMATS if stem.endswith(f".{word}")), None)
    return file_format, compression


class RowWriter(Protocol):
    """Writes rows to a file that someone else closes."""

    def write(self, rows: Sequence[LeadConversion]) -> None:
        """Add rows."""
        ...

    def close(self) -> None:
        """Write what is left. Not called after an error."""
        ...


class _JsonLines:
    """One line a row, every key as the API sent it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, rows: Sequence[LeadConversion]) -> None:
        lines = [row.raw for row in rows]
        text = b"".join(lines)
        # Asked once of all rows, as nearly always they can be written as they came.
        if b"\n" in text or b"\r" in text or not all(lines):
            lines = [row.to_json() for row in rows]
        self._file.write(b"\n".join([*lines, b""]))

    def close(self) -> None:
        """Nothing is left."""


class _Csv:
    """RFC 4180: a header, the documented columns, CRLF; what is null is empty, ``created_at`` is as it was sent."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._write([COLUMNS])

    def write(self, rows: Sequence[LeadConversion]) -> None:
        self._write([(*ids_of(row), row.created_at_text) for row in rows])

    def close(self) -> None:
        """Nothing is left."""

    def _write(self, rows: Sequence[Sequence[object]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._file.write(text.getvalue().encode())


class _Parquet:
    """int64 ids and ``timestamp[us, UTC]``. A ``created_at`` nobody can read becomes null, and a warning."""

    def __init__(self, file: IO[bytes]) -> None:
        with _naming_extra("parquet"):
            import pyarrow as pa
            from pyarrow import parquet

        ids = [pa.field(name, pa.int64(), nullable=name not in {"id", "lead_id"}) for name in ID_COLUMNS]
        self._schema = pa.schema([*ids, pa.field("created_at", pa.timestamp("us", tz="UTC"))])
        self._new_table = pa.table
        self._writer: Any = parquet.ParquetWriter(file, self._schema)
        self._columns: list[list[Any]] = [[] for _ in COLUMNS]

    def write(self, rows: Sequence[LeadConversion]) -> None:
        for column, value_of in zip(self._columns, _VALUES, strict=True):
            column.extend(map(value_of, rows))
        if len(self._columns[0]) >= _ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        if self._columns[0]:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(self._new_table(self._columns, schema=self._schema))
        self._columns = [[] for _ in COLUMNS]


_WRITERS: dict[str, type[_JsonLines | _Csv | _Parquet]] = {"jsonl": _JsonLines, "csv": _Csv, "parquet": _Parquet}


def ids_of(row: LeadConversion) -> tuple[int | None, ...]:
    """:return: the row's values of :data:`ID_COLUMNS`."""
    return (row.id, row.lead_id, row.individual_id, row.organization_id, row.deal_id, row.creator_id)


def readable_time(row: LeadConversion) -> Any:
    """:return: ``created_at`` in UTC, or ``None`` with a warning if it was sent and cannot be read."""
    moment = row.created_at
    if moment is None and row.created_at_text is not None:
        log.warning(
            "Conversion %d has a created_at that is no time: %.80r; it is left empty", row.id, row.created_at_text
        )
    return moment


_VALUES: tuple[Callable[[LeadConversion], Any], ...] = (*map(attrgetter, ID_COLUMNS), readable_time)
"""Of a row, the value of each of :data:`COLUMNS`."""


class HashingFile(io.RawIOBase):
    """Passes bytes on, and counts and hashes them.

    :param file: where they go. It stays open.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what was written so far, in hex."""
        return self._hash.hexdigest()

    def writable(self) -> bool:
        """:return: true."""
        return True

    def write(self, data: Any) -> int:
        """Write all of it."""
        view = memoryview(data).cast("B")
        try:
            self._file.write(view)
        except OSError as error:  # such as a full disk: say which
            error.filename = self._file.name
            raise
        self._hash.update(view)
        self.size += len(view)
        return len(view)


@contextmanager
def row_writer(file: IO[bytes], how: FileFormat) -> Iterator[RowWriter]:
    """Write rows into a file. The file is whole when the block has ended without an error.

    :param file: open for writing; it stays open.
    :raises ImportError: if the format needs pyarrow or zstandard, which are extras of this package.
    """
    compressed = _compressed(file, how.compression)
    writer: RowWriter = _WRITERS[how.file_format](compressed)
    yield writer
    writer.close()
    if compressed is not file:
        compressed.close()


@contextmanager
def _naming_extra(extra: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        message = f"{error.name} is not installed: pip install 'airflow-provider-leadconv[{extra}]'"
        raise ImportError(message, name=error.name) from error


def _compressed(file: IO[bytes], compression: str | None) -> IO[bytes]:
    if compression == "gzip":
        # Neither a time nor a name in the header: they would make every run's bytes differ.
        return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)  # type: ignore[return-value]
    if compression == "zstd":
        with _naming_extra("zstd"):
            import zstandard

        stream: IO[bytes] = zstandard.ZstdCompressor().stream_writer(file, closefd=False)
        return stream
    return file
