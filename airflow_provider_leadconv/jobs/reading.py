"""Which conversions an export takes, and how it walks the listing for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.errors import InvalidRequestError, InvalidResponseError
from airflow_provider_leadconv.api.paging import Listing
from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.api.wire import ListQuery
from airflow_provider_leadconv.jobs.feed import LogReader
from airflow_provider_leadconv.jobs.heartbeat import Heartbeat
from airflow_provider_leadconv.jobs.readahead import read_ahead

log = logging.getLogger(__name__)

SLACK = timedelta(hours=1)
"""A time window is exact as long as ``created_at`` is out of the order of ids by less than this."""

VISIBLE_AFTER = timedelta(minutes=5)
"""A time window is read no earlier than this after its end, so that what becomes visible late is in it."""


class PageRead(NamedTuple):
    """The rows taken from one page, newest first.

    :param cursor: what the page was asked for with; ``None`` for the first page of the listing.
    """

    rows: list[LeadConversion]
    cursor: str | None = None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which conversions an export takes.

    :param query: the filters.
    :param created_from: only conversions created then or later.
    :param created_until: only conversions created earlier.
    :raises InvalidRequestError: if the time window is empty.
    """

    query: ListQuery
    created_from: datetime | None = None
    created_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.created_from and self.created_until and self.created_from >= self.created_until:
            raise InvalidRequestError(
                f"created_from ({self.created_from}) must be before created_until ({self.created_until}); "
                "data intervals are empty unless the DAG has a timetable that makes some, "
                "such as CronDataIntervalTimetable"
            )

    @property
    def has_times(self) -> bool:
        """Whether there is a time window."""
        return self.created_from is not None or self.created_until is not None

    def of(self, rows: Iterable[LeadConversion]) -> list[LeadConversion]:
        """:return: those in the time window.

        :raises InvalidResponseError: naming a conversion that cannot be placed.
        """
        if not self.has_times:
            return list(rows)
        start, end = self.created_from, self.created_until
        return [row for row in rows if (start is None or start <= _time(row)) and (end is None or _time(row) < end)]

    def is_behind(self, rows: Sequence[LeadConversion]) -> bool:
        """:return: whether a page is so old that what comes after it is too old as well."""
        start = self.created_from
        return start is not None and bool(rows) and all(_time(row) < start - SLACK for row in rows)


def as_time(value: datetime | str | None, name: str) -> datetime | None:
    """Read a time as a template renders it.

    :param value: a datetime or ISO 8601; without an offset it is UTC.
    :param name: what the error calls it.
    :raises InvalidRequestError: if it is neither.
    """
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, AttributeError) as error:
        raise InvalidRequestError(f"{name} must be a time such as 2026-11-23T00:00:00+00:00, got {value!r}") from error


def _time(row: LeadConversion) -> datetime:
    moment = row.created_at
    if moment is None:
        raise InvalidResponseError(
            f"conversion {row.id} has no readable created_at ({row.created_at_text!r:.80}), so nobody can say whether "
            "it is in the time window; export without created_from and created_until"
        )
    return moment


def wait_until_visible(client: LeadConversionsClient, selection: Selection) -> None:
    """Wait until the time window is over and what was created in it is visible."""
    if selection.created_until is None:
        return
    while (left := (selection.created_until + VISIBLE_AFTER - datetime.now(UTC)).total_seconds()) > 0:
        log.info("Waiting %.0f s: the window ends at %s, plus %s", left, selection.created_until, VISIBLE_AFTER)
        client.sleep(min(left, 10.0))


def read(client: LeadConversionsClient, selection: Selection, reader: LogReader | None = None) -> Iterator[PageRead]:
    """Walk from the newest conversion down, the next page being read while the last one is worked on.

    :param reader: what was taken by earlier walks, and where those began.
    :return: for each page, what is selected and was not taken before.
    :raises LeadConversionError: of the class that says what to do about it.
    """
    return _ahead(client, _taken(_walk(client, selection.query), selection, reader or LogReader()))


def read_below(
    client: LeadConversionsClient, selection: Selection, reader: LogReader, *, below: int, cursor: str | None
) -> Iterator[PageRead]:
    """Go on with a walk.

    :param below: id of the last conversion of the earlier walk.
    :param cursor: what the page with that conversion was asked for with. If it no longer leads there, which nothing
        in the API's documentation promises, the walk starts at the top and passes over what comes before.
    """
    return _ahead(client, _taken(_walk_below(client, selection.query, below, cursor), selection, reader))


def _walk(client: LeadConversionsClient, query: ListQuery) -> Iterator[PageRead]:
    listing = Listing(query)
    while (following := listing.next_query) is not None:
        yield PageRead(listing.take(client.get_page(following)), following.cursor)


def _walk_below(client: LeadConversionsClient, query: ListQuery, below: int, cursor: str | None) -> Iterator[PageRead]:
    pages = _walk(client, msgspec.structs.replace(query, cursor=cursor))
    try:
        first = next(pages)
    except InvalidRequestError as error:
        log.info("The cursor of the earlier run is refused, so the walk starts at the top: %s", error)
        pages = _walk(client, query)
    else:
        if any(row.id == below for row in first.rows):
            yield _below(first, below)
        else:
            log.info("The cursor of the earlier run leads elsewhere, so the walk starts at the top")
            pages = _walk(client, query)
    yield from (_below(page, below) for page in pages)


def _below(page: PageRead, below: int) -> PageRead:
    return page._replace(rows=[row for row in page.rows if row.id < below])


def _taken(pages: Iterator[PageRead], selection: Selection, reader: LogReader) -> Iterator[PageRead]:
    for page in pages:
        yield page._replace(rows=selection.of(reader.take(page.rows)))
        if reader.finished or selection.is_behind(page.rows):
            return


def _ahead(client: LeadConversionsClient, pages: Iterator[PageRead]) -> Iterator[PageRead]:
    walked = _Walked(client)
    for page in read_ahead(pages, while_waiting=walked.tell, interval=1.0):
        walked.count(page.rows)
        yield page


class _Walked:
    """How far a walk has come, for the log."""

    def __init__(self, client: LeadConversionsClient) -> None:
        self._heartbeat = Heartbeat(log, client.clock)
        self._pages = 0
        self._rows = 0
        self._id: int | None = None

    def count(self, rows: Sequence[LeadConversion]) -> None:
        self._pages += 1
        self._rows += len(rows)
        self._id = rows[-1].id if rows else self._id
        self.tell()

    def tell(self) -> None:
        self._heartbeat.tell(self._line)

    def _line(self) -> str:
        rate = self._rows / max(self._heartbeat.elapsed, 1e-9)
        return f"{self._pages} pages, {self._rows} rows ({rate:.0f} rows/s), down to id {self._id}"
