"""Verification that an export is complete: its files are read back and compared with a second pass over the listing.

Both are streams of descending ids, so they are merged to find the differences, with one page of each in memory.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import heapq
import io
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, NamedTuple

import msgspec

from airflow_provider_leadconv.api.exceptions import JSON_ERRORS
from airflow_provider_leadconv.export.manifest import Part, Verification
from airflow_provider_leadconv.export.pages import PageRead
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.base import Folder
from airflow_provider_leadconv.storage.files import spool

_PROOF = "In both passes, ids descended from page to page, and each page had as many rows as its meta.count."
_NO_PROOF = (
    "This does not prove that the export is complete: check_count is false, so missing rows of a page would not be "
    "detected."
)


_START_OVER = "Export to another folder, or pass full=True to start over"


class DamagedExportError(RuntimeError):
    """The files have changed since they were written: export to another folder, or start over with ``full=True``."""


class Comparison:
    """Finds the conversions that are in the listing but not in the files, and vice versa.

    :param exported: ids in the files, descending.
    """

    def __init__(self, exported: Iterator[int]) -> None:
        self._exported = exported
        self.listed = 0
        self.vanished: list[int] = []

    def missing(self, pages: Iterable[PageRead]) -> Iterator[PageRead]:
        """Return the missing rows, and collect the vanished ids.

        :param pages: the pages of the listing, newest first.
        :return: the pages with only the rows that are not in the files. At their end, :attr:`vanished` has the ids in
            the files that are not in the listing.
        """
        current = next(self._exported, None)
        for page in pages:
            absent = []
            for row in page.rows:
                self.listed += 1
                while current is not None and current > row.id:
                    self.vanished.append(current)
                    current = next(self._exported, None)
                if current == row.id:
                    current = next(self._exported, None)
                else:
                    absent.append(row)
            yield page._replace(rows=absent)
        if current is not None:
            self.vanished.extend((current, *self._exported))

    def verification(self, *, started: datetime, added: int, is_narrowed: bool, counts_checked: bool) -> Verification:
        """Return the result, for the manifest.

        :param started: when the second pass began.
        :param added: number of missing rows that were added.
        :param is_narrowed: whether the export has filters or a time range.
        :param counts_checked: whether each page was checked against its own count.
        """
        scope = "the listing with the filters and times in the settings" if is_narrowed else "the whole listing"
        return Verification(
            started=started,
            finished=datetime.now(UTC),
            listed=self.listed,
            added=added,
            vanished=self.vanished,
            statement=f"A second pass over {scope} found {self.listed} conversions. "
            f"Each of them is in the parts exactly once; {added} were missing and have been added. "
            f"{len(self.vanished)} conversions in the parts are no longer listed. "
            f"{_PROOF if counts_checked else _NO_PROOF}",
        )


def exported_ids(folder: Folder, parts: Sequence[Part], file_format: FileFormat) -> Iterator[int]:
    """Read the ids back from files, and merge them in descending order. A file is open only while its ids are read.

    :param parts: the files.
    :param file_format: their format.
    :return: the ids.
    :raises DamagedExportError: if a file does not match the manifest, or an id is in the files twice.
    :raises FileNotFoundError: if a file is missing.
    """
    unopened = sorted((part for part in parts if part.rows), key=lambda part: part.max_id or 0)
    open_parts: list[_OpenPart] = []
    last = None
    while unopened or open_parts:
        while unopened and (not open_parts or -open_parts[0].negative_id <= (unopened[-1].max_id or 0)):
            _push(open_parts, len(unopened), _ids_of(folder, unopened.pop(), file_format))
        part = heapq.heappop(open_parts)
        if -part.negative_id == last:
            raise DamagedExportError(f"conversion {last} is in the export twice. {_START_OVER}")
        last = -part.negative_id
        yield last
        _push(open_parts, part.position, part.ids)


def is_intact(folder: Folder, part: Part) -> bool:
    """Return whether a part is there, with the bytes that were written."""
    try:
        with folder.open(part.name) as file:
            return _sha256(file) == part.sha256
    except FileNotFoundError:
        return False


class _OpenPart(NamedTuple):
    """An entry of the heap, which has the highest id first. The position is unique, so iterators are never compared."""

    negative_id: int
    position: int
    ids: Iterator[int]


def _push(heap: list[_OpenPart], position: int, ids: Iterator[int]) -> None:
    next_id = next(ids, None)
    if next_id is not None:
        heapq.heappush(heap, _OpenPart(-next_id, position, ids))


def _ids_of(folder: Folder, part: Part, file_format: FileFormat) -> Iterator[int]:
    with spool() as copy:
        with folder.open(part.name) as file:
            shutil.copyfileobj(file, copy)
        copy.seek(0)
        if _sha256(copy) != part.sha256:
            raise DamagedExportError(
                f"{part.name} has changed since it was written: its SHA-256 differs. {_START_OVER}"
            )
        copy.seek(0)
        rows = 0
        unreadable = _unreadable(file_format)
        try:
            with _decompressed(copy, file_format.compression) as data:
                for number in _READERS[file_format.name](data):
                    rows += 1
                    yield number
        except unreadable as error:
            raise DamagedExportError(
                f"{part.name} is not a valid {file_format.suffix.lstrip('.')} file. {_START_OVER}"
            ) from error
        if rows != part.rows:
            raise DamagedExportError(
                f"{part.name} has {rows} rows, but {part.rows} according to the manifest. {_START_OVER}"
            )


def _sha256(file: IO[bytes]) -> str:
    return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # any binary file will do


def _unreadable(file_format: FileFormat) -> tuple[type[Exception], ...]:
    """Return what reading a damaged file may raise. Of pyarrow, it is a ValueError, a LookupError or an OSError."""
    known = (*JSON_ERRORS, ValueError, LookupError, EOFError, OSError, csv.Error, zlib.error)
    if file_format.compression != "zstd":
        return known
    import zstandard

    return (*known, zstandard.ZstdError)


@contextmanager
def _decompressed(file: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    if compression == "gzip":
        with gzip.open(file, "rb") as data:
            yield data  # type: ignore[misc]  # the stubs do not say that it reads bytes
    elif compression == "zstd":
        import zstandard

        with zstandard.ZstdDecompressor().stream_reader(file) as stream, io.BufferedReader(stream) as data:
            yield data
    else:
        yield file


class _Id(msgspec.Struct):
    id: int


def _ids_of_jsonl(file: IO[bytes]) -> Iterator[int]:
    decode = msgspec.json.Decoder(_Id).decode
    return (decode(line).id for line in file)


def _ids_of_csv(file: IO[bytes]) -> Iterator[int]:
    rows = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
    next(rows, None)
    return (int(row[0]) for row in rows)


def _ids_of_parquet(file: Any) -> Iterator[int]:
    from pyarrow import parquet

    for batch in parquet.ParquetFile(file).iter_batches(columns=["id"]):
        if batch.column(0).null_count:
            raise ValueError("an id is missing")
        yield from batch.column(0).to_pylist()


_READERS = {"jsonl": _ids_of_jsonl, "csv": _ids_of_csv, "parquet": _ids_of_parquet}
