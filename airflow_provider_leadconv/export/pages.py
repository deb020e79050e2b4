"""The page reader of an export: a pass over the listing from the newest conversion down, one page ahead of its caller.

A pass is a chain of iterators: list the pages, drop the rows that an earlier pass wrote, select the rows of the export,
read one page ahead, log progress.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from queue import Empty, Queue
from threading import Event, Thread
from typing import NamedTuple, TypeVar

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.api.pagination import Listing
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.changefeed import ChangefeedReader
from airflow_provider_leadconv.export.selection import Selection
from airflow_provider_leadconv.progress import Progress, ProgressLog, share_done

log = logging.getLogger(__name__)
T = TypeVar("T")


class PageRead(NamedTuple):
    """The rows taken from one page, newest first.

    :param cursor: the cursor that the page was requested with; ``None`` for the first page of the listing.
    """

    rows: list[LeadConversion]
    cursor: str | None = None


def read_pages(
    client: LeadConversionsClient,
    selection: Selection,
    reader: ChangefeedReader | None = None,
    *,
    expected: int | None = None,
) -> Iterator[PageRead]:
    """Read the listing from the newest conversion down.

    :param reader: reader with the overlap window of the previous pass; default: all rows are new.
    :param expected: number of rows, for the progress in the log; ``None`` if it is unknown.
    :return: the pages, each with only the selected new rows.
    :raises LeadConversionError: if a page cannot be read.
    """
    pages = _list_pages(client, selection.query)
    return _log_progress(client, _select_new(pages, selection, reader or ChangefeedReader()), expected)


def resume_pages(
    client: LeadConversionsClient, selection: Selection, reader: ChangefeedReader, *, below: int, cursor: str | None
) -> Iterator[PageRead]:
    """Continue an interrupted pass.

    :param below: id of the last conversion that the interrupted pass wrote.
    :param cursor: the cursor that the page with that conversion was requested with. The API's documentation does not
        say how long a cursor is valid. If it does not lead to that page, the pass starts at the newest conversion.
    :return: the pages, each with only the selected new rows below that conversion.
    """
    pages = _rows_below(below, _find_page(client, selection.query, below, cursor))
    return _log_progress(client, _select_new(pages, selection, reader))


def rows_above(row_id: int, pages: Iterator[PageRead]) -> Iterator[PageRead]:
    """Yield the pages with only the rows above an id."""
    for page in pages:
        yield page._replace(rows=[row for row in page.rows if row.id > row_id])


def _list_pages(client: LeadConversionsClient, query: ListQuery) -> Iterator[PageRead]:
    listing = Listing(query)
    while (next_query := listing.next_query) is not None:
        try:
            page = client.get_page(next_query)
        except InvalidRequestError as error:
            listing.restart(error)
        else:
            yield PageRead(listing.take(page), next_query.cursor)


def _find_page(client: LeadConversionsClient, query: ListQuery, row_id: int, cursor: str | None) -> Iterator[PageRead]:
    """List the pages from the one with a row, or all pages if the cursor does not lead to it."""
    pages = _list_pages(client, msgspec.structs.replace(query, cursor=cursor))
    try:
        first = next(pages)
    except InvalidRequestError as error:
        log.info(
            "Starting at the newest conversion, since the API rejected the cursor of the interrupted run: %s", error
        )
    else:
        if any(row.id == row_id for row in first.rows):
            yield first
            yield from pages
            return
        log.info("Starting at the newest conversion, since the cursor of the interrupted run leads to another page")
    yield from _list_pages(client, query)


def _rows_below(row_id: int, pages: Iterator[PageRead]) -> Iterator[PageRead]:
    for page in pages:
        yield page._replace(rows=[row for row in page.rows if row.id < row_id])


def _select_new(pages: Iterator[PageRead], selection: Selection, reader: ChangefeedReader) -> Iterator[PageRead]:
    """Keep the selected rows that no earlier pass has taken. End where no older row can match."""
    for page in pages:
        yield page._replace(rows=selection.select(reader.take(page.rows)))
        if reader.finished or selection.ends_above(page.rows):
            return


def _log_progress(
    client: LeadConversionsClient, pages: Iterator[PageRead], expected: int | None = None
) -> Iterator[PageRead]:
    progress = _PassProgress(client, expected)
    for page in read_ahead(pages, while_waiting=progress.emit, interval=1.0):
        progress.count(page.rows)
        yield page


class _PassProgress:
    """Logs the progress of a pass."""

    def __init__(self, client: LeadConversionsClient, expected: int | None) -> None:
        self._log = ProgressLog(log, client.clock)
        self._expected = expected
        self._pages = 0
        self._rows = 0
        self._id: int | None = None

    def count(self, rows: Sequence[LeadConversion]) -> None:
        self._pages += 1
        self._rows += len(rows)
        self._id = rows[-1].id if rows else self._id
        self.emit()

    def emit(self) -> None:
        self._log.emit(self._line)

    def _line(self) -> Progress:
        rate = self._rows / max(self._log.elapsed, 1e-9)
        done = f"{share_done(self._rows, self._expected, rate)}: " if self._expected else ""
        text = f"{done}{self._rows:,} rows ({rate:,.0f} rows/s) on {self._pages:,} pages, down to id {self._id}"
        return Progress(text, self._rows, self._expected, rate)


class _End(NamedTuple):
    """The last item in the queue of the reading thread, with the error that ended it."""

    error: BaseException | None = None


def read_ahead(items: Iterator[T], *, while_waiting: Callable[[], None], interval: float) -> Iterator[T]:
    """Take items in a separate thread, one ahead of the caller.

    If the caller stops early, the thread ends after its current item. It is a daemon, so it does not delay an exit.

    :param items: the items.
    :param while_waiting: called in the caller's thread while it waits for an item.
    :param interval: seconds between these calls.
    :return: the items.
    :raises BaseException: the error that the iterator raised, after the items before it.
    """
    taken: Queue[T | _End] = Queue(maxsize=1)
    stopped = Event()

    def take() -> None:
        try:
            for item in items:
                taken.put(item)
                if stopped.is_set():
                    return
            taken.put(_End())
        except BaseException as error:  # noqa: BLE001  # raised in the caller's thread
            taken.put(_End(error))

    Thread(target=take, name="leadconv-read-ahead", daemon=True).start()
    try:
        while not isinstance(item := _next(taken, while_waiting, interval), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        while not taken.empty():  # a full queue would block the thread forever
            taken.get_nowait()


def _next(taken: Queue[T | _End], while_waiting: Callable[[], None], interval: float) -> T | _End:
    while True:
        try:
            return taken.get(timeout=interval)
        except Empty:
            while_waiting()
