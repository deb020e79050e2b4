"""One reader of the log for everybody who waits on one connection in one triggerer process.

It starts with its first member and ends with its last. It runs in an empty context, so that it does not log into the
task that happened to come first, and the cancellation of a member does not reach it. It only reads.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakKeyDictionary

from airflow_provider_leadconv.api.errors import InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.wire import ListQuery
from airflow_provider_leadconv.failing import PERMANENT_ERRORS
from airflow_provider_leadconv.jobs.waiting import Waiting
from airflow_provider_leadconv.triggers.clients import open_client
from airflow_provider_leadconv.triggers.members import LeadWait, LogRead

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
    from airflow_provider_leadconv.api.records import LeadConversion, Page

log = logging.getLogger(__name__)
T = TypeVar("T")

MIN_INTERVAL = 1.0
"""Seconds between two readings at the least, whatever members ask for."""

MAX_BACK_OFF = 60.0
"""Seconds until a failed request is repeated at the most, unless the interval is longer."""


@contextmanager
def shared_reader(conn_id: str, interval: float) -> Iterator[SharedReader]:
    """Be a member of the reader of a connection on the running event loop.

    :param conn_id: id of the Airflow connection.
    :param interval: seconds between two readings; the smallest of the members' counts.
    """
    readers = _readers.setdefault(asyncio.get_running_loop(), {})
    reader = readers.get(conn_id)
    if reader is None or reader.ended:
        reader = readers[conn_id] = SharedReader(conn_id)
    member = object()
    reader.enter(member, interval)
    try:
        yield reader
    finally:
        if reader.leave(member) and readers.get(conn_id) is reader:
            del readers[conn_id]


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedReader]] = WeakKeyDictionary()


class SharedReader:
    """Reads the log of a connection; see :func:`shared_reader`.

    :param conn_id: id of the Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: AsyncLeadConversionsClient | None = None
        self._intervals: dict[object, float] = {}
        self._waiting = Waiting()
        self._waits: set[LeadWait] = set()
        self._log_reads: set[LogRead] = set()
        self._changed = asyncio.Event()
        self._failures = 0
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name=f"leadconv {conn_id}", context=contextvars.Context())
        self._task.add_done_callback(self._report_end)

    @property
    def ended(self) -> bool:
        """Whether it reads no more."""
        return self._task.done()

    def enter(self, member: object, interval: float) -> None:
        """Start reading, if this is the first member."""
        self._intervals[member] = interval
        self._changed.set()

    def leave(self, member: object) -> bool:
        """Stop reading, if this was the last member.

        :return: whether it was.
        """
        del self._intervals[member]
        if not self._intervals:
            self._task.cancel()
        return not self._intervals

    @contextmanager
    def leads(self, lead_ids: Iterable[int], mark: int, max_failures: int | None) -> Iterator[LeadWait]:
        """Wait for leads; for the parameters see :class:`~.members.LeadWait`."""
        wait = LeadWait(lead_ids, mark, max_failures)
        self._waits.add(wait)
        self._waiting.add(wait.watch)
        self._changed.set()
        try:
            yield wait
        finally:
            self._waits.discard(wait)
            self._waiting.remove(wait.watch)
            self._changed.set()

    async def rows_above(self, floor: int | None) -> list[LeadConversion]:
        """Read the log at the next reading; for the parameter and the result see :class:`~.members.LogRead`.

        :raises LeadConversionError: only if it is permanent; others are waited out.
        """
        read = LogRead(floor)
        self._log_reads.add(read)
        self._changed.set()
        try:
            return await read.done
        finally:
            self._log_reads.discard(read)
            self._changed.set()

    @property
    def _members(self) -> list[LeadWait | LogRead]:
        return [*self._waits, *self._log_reads]

    @property
    def _interval(self) -> float:
        return max(MIN_INTERVAL, min(self._intervals.values()))

    async def _run(self) -> None:
        read_at = -math.inf
        try:
            while True:
                await self._until_due(read_at)
                read_at = self._loop.time()
                try:
                    pages = await self._read_log()
                    await self._look_up(pages, until=read_at + self._interval)
                except LeadConversionError as error:
                    await self._fail(error)
        finally:
            await self._close()

    async def _until_due(self, read_at: float) -> None:
        """Wait for the time of the next reading, and for somebody who wants it."""
        while True:
            self._changed.clear()
            wanted = self._waits or self._log_reads
            try:
                async with asyncio.timeout_at(read_at + self._interval if wanted else None):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _read_log(self) -> int:
        """Read once.

        :return: how many pages it took.
        """
        reads = list(self._log_reads)
        floor = min((read.floor for read in reads if read.floor is not None), default=None)
        reading = self._waiting.read_log(down_to=floor)
        query, pages = next(reading), 0
        with suppress(StopIteration):
            while True:
                page = await self._ask(_page(query))
                pages += 1
                for read in reads:
                    read.take(page.conversions)
                query = reading.send(page)
        for read in reads:
            read.finish()
        return pages

    async def _look_up(self, pages: int, until: float) -> None:
        """Look up the leads for whom the log was not read back far enough, as many as there is time for.

        If there are none, and the reading was cheap, look up the one not looked up for longest: should the log ever
        have missed a conversion, this finds it.
        """
        leads = self._waiting.unchecked
        spare = self._waiting.longest_unseen
        if not leads and pages == 1 and spare is not None:
            leads = [spare]
        for lead_id in leads:
            if self._loop.time() >= until:
                return
            try:
                found = await self._ask(_conversion_of(lead_id))
            except InvalidRequestError as error:
                self._refuse(lead_id, error)
            else:
                self._waiting.looked_up(lead_id, found)

    def _refuse(self, lead_id: int, error: InvalidRequestError) -> None:
        """Fail those who wait for a lead the API does not want to hear of; it says nothing about others."""
        self._waiting.looked_up(lead_id, None)
        for wait in self._waits:
            if lead_id in wait.watch.lead_ids:
                wait.failed(error)

    async def _ask(self, call: Callable[[AsyncLeadConversionsClient], Awaitable[T]]) -> T:
        """Make a request, and again until it is answered or refused for good; a reading goes on where it was."""
        while True:
            try:
                self._client = self._client or await open_client(self._conn_id)
                result = await call(self._client)
            except PERMANENT_ERRORS:
                raise
            except LeadConversionError as error:
                await self._fail(error)
            else:
                self._failures = 0
                for wait in self._waits:
                    wait.answered()
                return result

    async def _fail(self, error: LeadConversionError) -> None:
        """Tell everybody, and back off. Not after a permanent error: those who hear of it are gone."""
        self._failures += 1
        log.warning("leadconv connection %s: request %d in a row failed: %s", self._conn_id, self._failures, error)
        for member in self._members:
            member.failed(error)
        if isinstance(error, PERMANENT_ERRORS):
            self._failures = 0
            await self._close()  # somebody may correct the connection before the next one comes
        else:
            back_off = self._interval * 2.0 ** min(self._failures - 1, 16)
            await asyncio.sleep(min(back_off, max(self._interval, MAX_BACK_OFF)))

    async def _close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _report_end(self, task: asyncio.Task[None]) -> None:
        """Let nobody wait for a reader that broke."""
        error = None if task.cancelled() else task.exception()
        for member in self._members:
            if error is not None and not member.done.done():
                member.done.set_exception(error)


def _page(query: ListQuery) -> Callable[[AsyncLeadConversionsClient], Awaitable[Page]]:
    return lambda client: client.get_page(query)


def _conversion_of(lead_id: int) -> Callable[[AsyncLeadConversionsClient], Awaitable[LeadConversion | None]]:
    return lambda client: client.find(ListQuery(per_page=1, lead_id=lead_id))
