"""An export into one file, and what exports into files have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, cast

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.jobs.reading import PageRead, Selection, read, wait_until_visible
from airflow_provider_leadconv.jobs.storage import Folder
from airflow_provider_leadconv.jobs.writers import FileFormat, HashingFile, row_writer


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a file.

    :param rows: how many conversions.
    :param min_id: the lowest id; ``None`` if there are none.
    :param max_id: the highest id; ``None`` if there are none.
    :param bytes: size of the file.
    :param sha256: of the file, in hex.
    """

    rows: int
    min_id: int | None
    max_id: int | None
    bytes: int
    sha256: str


class ExportSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What an export did.

    :param rows: conversions it wrote.
    :param min_id: the lowest id of these; ``None`` if there are none.
    :param max_id: the highest id of these; ``None`` if there are none.
    :param bytes: size of the files it wrote.
    :param api_calls: requests it sent.
    :param duration_s: seconds it took.
    """

    rows: int
    min_id: int | None
    max_id: int | None
    bytes: int
    api_calls: int
    duration_s: float


class Stopwatch:
    """What a job has cost so far.

    :param client: whose requests and clock count.
    """

    def __init__(self, client: LeadConversionsClient) -> None:
        self._client = client
        self._requests = client.counters.requests
        self._started = client.clock()

    @property
    def requests(self) -> int:
        """Requests sent since the start."""
        return self._client.counters.requests - self._requests

    @property
    def seconds(self) -> float:
        """Since the start."""
        return round(self._client.clock() - self._started, 3)

    def summary(self, files: Sequence[FileFacts]) -> ExportSummary:
        """:return: the cost, and what is in the files that came of it."""
        ids = [(file.min_id, file.max_id) for file in files if file.min_id is not None and file.max_id is not None]
        return ExportSummary(
            rows=sum(file.rows for file in files),
            min_id=min((low for low, _ in ids), default=None),
            max_id=max((high for _, high in ids), default=None),
            bytes=sum(file.bytes for file in files),
            api_calls=self.requests,
            duration_s=self.seconds,
        )


class RowStream:
    """The rows of a walk, to be taken in any number.

    :param pages: the walk.
    """

    def __init__(self, pages: Iterator[PageRead]) -> None:
        self._pages = pages
        self._rest: list[LeadConversion] = []
        self.cursor: str | None = None
        """What the page was asked for with that the last rows came from."""

    def any_left(self) -> bool:
        """:return: whether there are more rows; reads on if need be."""
        while not self._rest:
            page = next(self._pages, None)
            if page is None:
                return False
            self._rest, self.cursor = page
        return True

    def take(self, rows: int) -> Iterator[list[LeadConversion]]:
        """:return: the next rows, in batches, up to so many."""
        while rows > 0 and self.any_left():
            batch, self._rest = self._rest[:rows], self._rest[rows:]
            rows -= len(batch)
            yield batch


def write_rows(draft: IO[bytes], how: FileFormat, batches: Iterable[Sequence[LeadConversion]]) -> FileFacts:
    """Write rows to a file.

    :param draft: open for writing; it stays open.
    :raises OSError: if it cannot be written, such as when the disk is full.
    """
    rows = 0
    ids: list[int] = []
    file = HashingFile(draft)
    with row_writer(cast("IO[bytes]", file), how) as writer:
        for batch in batches:
            writer.write(batch)
            rows += len(batch)
            ids += [row.id for row in batch]
            ids = [min(ids), max(ids)] if ids else []
    low, high = min(ids, default=None), max(ids, default=None)
    return FileFacts(rows=rows, min_id=low, max_id=high, bytes=file.size, sha256=file.sha256)


def export_file(
    client: LeadConversionsClient, selection: Selection, folder: Folder, name: str, how: FileFormat
) -> ExportSummary:
    """Write conversions to one file, newest first. The file appears when it is whole; until then the old one stays.

    :param name: of the file.
    :raises LeadConversionError: of the class that says what to do about it.
    :raises ExportConflictError: if another run writes this file.
    :raises OSError: if it cannot be written.
    """
    watch = Stopwatch(client)
    folder.check_writable()
    with folder.draft(name) as draft:
        wait_until_visible(client, selection)
        facts = write_rows(draft, how, (page.rows for page in read(client, selection)))
        folder.publish(draft, name)
    return watch.summary([facts])
