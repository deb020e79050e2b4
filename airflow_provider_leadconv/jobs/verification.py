"""Proof that an export is complete: what its files hold, read back, against a second walk over the whole listing.

Both are streams of falling ids, so one pass over the two finds what either lacks, in memory for a page of each.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import heapq
import io
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import msgspec

from airflow_provider_leadconv.jobs.manifest import Part
from airflow_provider_leadconv.jobs.reading import PageRead
from airflow_provider_leadconv.jobs.storage import Folder
from airflow_provider_leadconv.jobs.writers import FileFormat

_CHUNK = 1024 * 1024


class DamagedExportError(RuntimeError):
    """The files are not what was written: export to another folder, or start over with ``full=True``."""


class Comparison:
    """Which conversions are in the listing and not in the files, and the other way round.

    :param exported: the ids in the files, falling.
    """

    def __init__(self, exported: Iterator[int]) -> None:
        self._exported = exported
        self.listed = 0
        self.vanished: list[int] = []

    def missing(self, pages: Iterable[PageRead]) -> Iterator[PageRead]:
        """Go through the listing, newest first.

        :return: of each page, the rows that are not in the files. When all are taken, :attr:`vanished` has the ids in
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


def exported_ids(folder: Folder, parts: Sequence[Part], how: FileFormat) -> Iterator[int]:
    """Read ids back from files, falling. A file is open only while it is its turn.

    :raises DamagedExportError: if a file is not what the manifest says, or an id is in the files twice.
    :raises FileNotFoundError: if a file is gone.
    """
    coming = sorted((part for part in parts if part.rows), key=lambda part: part.max_id or 0)
    open_parts: list[tuple[int, int, Iterator[int]]] = []
    last = None
    while coming or open_parts:
        while coming and (not open_parts or -open_parts[0][0] <= (coming[-1].max_id or 0)):
            _push(open_parts, len(coming), _ids_of(folder, coming.pop(), how))
        negative, index, ids = heapq.heappop(open_parts)
        if -negative == last:
            raise DamagedExportError(f"conversion {last} is in the export twice")
        last = -negative
        yield last
        _push(open_parts, index, ids)


def _push(heap: list[tuple[int, int, Iterator[int]]], index: int, ids: Iterator[int]) -> None:
    following = next(ids, None)
    if following is not None:
        heapq.heappush(heap, (-following, index, ids))


def _ids_of(folder: Folder, part: Part, how: FileFormat) -> Iterator[int]:
    with tempfile.TemporaryFile() as copy:
        digest = hashlib.sha256()
        with folder.open(part.name) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                copy.write(chunk)
        if digest.hexdigest() != part.sha256:
            raise DamagedExportError(f"{part.name} has changed since it was written: its SHA-256 is another")
        copy.seek(0)
        with _decompressed(copy, how.compression) as data:
            yield from _READERS[how.file_format](data)


@contextmanager
def _decompressed(file: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    if compression == "gzip":
        with gzip.open(file, "rb") as data:
            yield data  # type: ignore[misc]  # a file for reading bytes, whatever the stubs call it
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
    next(rows)
    return (int(row[0]) for row in rows)


def _ids_of_parquet(file: Any) -> Iterator[int]:
    from pyarrow import parquet

    for batch in parquet.ParquetFile(file).iter_batches(columns=["id"]):
        yield from batch.column(0).to_pylist()


_READERS = {"jsonl": _ids_of_jsonl, "csv": _ids_of_csv, "parquet": _ids_of_parquet}
