"""Export to a single file, and the writing of rows to a file."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, cast

from typing_extensions import override

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.export.formats import row_writer
from airflow_provider_leadconv.export.lock import LockOptions, locked
from airflow_provider_leadconv.export.pages import PageRead, read_pages
from airflow_provider_leadconv.export.selection import Selection, wait_for_late_conversions
from airflow_provider_leadconv.export.summary import ExportSummary, FileFacts, Stopwatch
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.base import Folder
from airflow_provider_leadconv.table_files import check_installed


class RowStream:
    """The rows of a sequence of pages, regrouped into batches of any size.

    :param pages: the pages.
    """

    def __init__(self, pages: Iterator[PageRead]) -> None:
        self._pages = pages
        self._remaining: list[LeadConversion] = []
        self.cursor: str | None = None
        """The cursor that the page with the last rows taken was requested with."""

    def any_left(self) -> bool:
        """Return whether there are more rows. May read a page."""
        while not self._remaining:
            page = next(self._pages, None)
            if page is None:
                return False
            self._remaining, self.cursor = page
        return True

    def take(self, rows: int) -> Iterator[list[LeadConversion]]:
        """Yield the next rows in batches.

        :param rows: maximum number of rows in total.
        """
        while rows > 0 and self.any_left():
            batch, self._remaining = self._remaining[:rows], self._remaining[rows:]
            rows -= len(batch)
            yield batch


class HashingFile(io.RawIOBase):
    """Writes to another file, and counts and hashes the bytes.

    :param file: the other file; it is not closed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written so far, in hex."""
        return self._hash.hexdigest()

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write(view)
        self._hash.update(view)
        self.size += len(view)
        return len(view)


def write_rows(draft: IO[bytes], file_format: FileFormat, batches: Iterable[Sequence[LeadConversion]]) -> FileFacts:
    """Write rows to a file.

    :param draft: file open for writing; it is not closed.
    :param file_format: format of the rows.
    :param batches: the rows.
    :return: what was written.
    :raises OSError: if the file cannot be written, such as when the disk is full.
    """
    rows = 0
    ids: list[int] = []
    file = HashingFile(draft)
    with row_writer(cast("IO[bytes]", file), file_format) as writer:
        for batch in batches:
            writer.write(batch)
            rows += len(batch)
            ids += [row.id for row in batch]
            ids = [min(ids), max(ids)] if ids else []
    low, high = min(ids, default=None), max(ids, default=None)
    return FileFacts(rows=rows, min_id=low, max_id=high, bytes=file.size, sha256=file.sha256)


def export_file(
    client: LeadConversionsClient,
    selection: Selection,
    folder: Folder,
    name: str,
    file_format: FileFormat,
    lock: LockOptions = LockOptions(),  # noqa: B008  # immutable
) -> ExportSummary:
    """Export conversions to one file, newest first. The file is published atomically and replaces an existing one.

    :param name: name of the file.
    :param lock: how long to wait for another run that writes this file.
    :raises LeadConversionError: if the conversions cannot be read.
    :raises ConcurrentRunError: if another run still writes this file after that.
    :raises OSError: if the file cannot be written.
    :raises ImportError: if the file format needs a library that is not installed.
    """
    stopwatch = Stopwatch(client)
    check_installed(file_format)
    folder.check_writable()
    with locked(lambda: folder.draft(name), client, lock) as draft:
        wait_for_late_conversions(client, selection)
        facts = write_rows(draft, file_format, (page.rows for page in read_pages(client, selection)))
        folder.publish(draft, name)
    return stopwatch.summary([facts])
