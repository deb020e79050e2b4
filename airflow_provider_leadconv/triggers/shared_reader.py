"""One reader of the changefeed for all triggers of a connection in a triggerer process.

It starts with its first user and ends with its last. It runs in an empty context, so that it does not log into the task
of the first user, and so that the cancellation of a user does not cancel it. It only sends GET requests.
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

from airflow_provider_leadconv.api.exceptions import PERMANENT_ERRORS, InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.hooks.clients import open_async_client
from airflow_provider_leadconv.triggers.subscribers import ChangefeedRead, LeadWait
from airflow_provider_leadconv.waiting.outage import Outage
from airflow_provider_leadconv.waiting.registry import WaitRegistry

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
    from airflow_provider_leadconv.api.models import LeadConversion, Page
    from airflow_provider_leadconv.changefeed import OverlapWindow

log = logging.getLogger(__name__)
T = TypeVar("T")

MIN_INTERVAL = 1.0
"""Minimum seconds between two polls."""

MAX_BACK_OFF = 60.0
"""Maximum seconds until a failed request is retried, unless the interval is longer."""


@contextmanager
def shared_reader(conn_id: str, interval: float) -> Iterator[SharedReader]:
    """Use the shared reader of a connection on the running event loop.

    :param conn_id: id of the Airflow connection.
    :param interval: seconds between two polls; the shortest interval of all users applies.
    :return: a context manager with the reader.
    """
    readers = _readers.setdefault(asyncio.get_running_loop(), {})
    reader = readers.get(conn_id)
    if reader is None or reader.ended:
        reader = readers[conn_id] = SharedReader(conn_id)
    user = object()
    reader.add_user(user, interval)
    try:
        yield reader
    finally:
        if reader.remove_user(user) and readers.get(conn_id) is reader:
            del readers[conn_id]


_readers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedReader]] = WeakKeyDictionary()


class SharedReader:
    """Polls the changefeed of a connection; see :func:`shared_reader`.

    :param conn_id: id of the Airflow connection.
    """

    def __init__(self, conn_id: str) -> None:
        self._conn_id = conn_id
        self._client: AsyncLeadConversionsClient | None = None
        self._intervals: dict[object, float] = {}
        self._waits: set[LeadWait] = set()
        self._changefeed_reads: set[ChangefeedRead] = set()
        self._changed = asyncio.Event()
        self._failures = 0
        self._look_ups: asyncio.Task[None] | None = None
        self._looked_up_lead: int | None = None
        self._loop = asyncio.get_running_loop()
        self._registry = WaitRegistry(self._loop.time)
        self._outage = Outage(self._loop.time)
        self._task = self._loop.create_task(self._run(), name=f"leadconv {conn_id}", context=contextvars.Context())
        self._task.add_done_callback(self._report_end)

    @property
    def ended(self) -> bool:
        """Whether the reader has stopped."""
        return self._task.done()

    def add_user(self, user: object, interval: float) -> None:
        """Add a user with its interval."""
        self._intervals[user] = interval
        self._changed.set()

    def remove_user(self, user: object) -> bool:
        """Remove a user, and stop the reader if it was the last one.

        :return: whether it was the last one.
        """
        del self._intervals[user]
        if not self._intervals:
            self._task.cancel()
        return not self._intervals

    @contextmanager
    def wait_for_leads(
        self, lead_ids: Iterable[int], start_watermark: int, max_failures: int | None
    ) -> Iterator[LeadWait]:
        """Subscribe to leads. The parameters are those of :class:`~.subscribers.LeadWait`."""
        wait = LeadWait(lead_ids, start_watermark, max_failures)
        self._waits.add(wait)
        self._registry.add(wait.leads)
        self._changed.set()
        try:
            yield wait
        finally:
            self._waits.discard(wait)
            self._registry.remove(wait.leads)
            if self._looked_up_lead is not None and not self._registry.is_awaited(self._looked_up_lead):
                self._cancel_look_ups()
            self._changed.set()

    @property
    def settle_time(self) -> float:
        """The connection's ``settle_time``, as of the last poll."""
        return self._registry.settle_time

    async def rows_above(self, window: OverlapWindow | None) -> list[LeadConversion]:
        """Return the rows of the next poll, as :class:`~.subscribers.ChangefeedRead` does.

        :param window: the rows above its low watermark that it does not have are read; ``None``: the newest page.
        :raises LeadConversionError: if the error is permanent; other errors are retried.
        """
        read = ChangefeedRead(window)
        self._changefeed_reads.add(read)
        self._changed.set()
        try:
            return await read.done
        finally:
            self._changefeed_reads.discard(read)
            self._changed.set()

    @property
    def _subscribers(self) -> list[LeadWait | ChangefeedRead]:
        return [*self._waits, *self._changefeed_reads]

    @property
    def _interval(self) -> float:
        return max(MIN_INTERVAL, min(self._intervals.values()))

    async def _run(self) -> None:
        polled_at = -math.inf
        try:
            while True:
                await self._wait_until_due(polled_at)
                polled_at = self._loop.time()
                try:
                    pages = await self._read_changefeed()
                    self._start_look_ups(pages, until=polled_at + self._interval)
                except LeadConversionError as error:
                    await self._handle_failure(error)
        finally:
            await self._close()

    async def _wait_until_due(self, polled_at: float) -> None:
        """Wait until the next poll is due and there is a subscriber."""
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(polled_at + self._interval if self._subscribers else None):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _read_changefeed(self) -> int:
        """Read the changefeed once, for all subscribers.

        :return: number of pages read.
        """
        reads = list(self._changefeed_reads)
        low_watermark = min((read.low_watermark for read in reads if read.low_watermark is not None), default=None)
        steps = self._registry.read_changefeed(down_to=low_watermark)
        query, pages = next(steps), 0
        with suppress(StopIteration):
            while True:
                try:
                    page = await self._request(_page_of(query))
                except InvalidRequestError as error:
                    query = steps.throw(error)
                    continue
                pages += 1
                for read in reads:
                    read.take(page.conversions)
                query = steps.send(page)
        for read in reads:
            read.finish()
        return pages

    def _start_look_ups(self, pages: int, until: float) -> None:
        """Look leads up in a task of their own, so that a slow or failing look-up never delays a poll."""
        if self._look_ups is None or self._look_ups.done():
            self._look_ups = self._loop.create_task(self._look_up_leads(pages, until))

    def _cancel_look_ups(self) -> None:
        if self._look_ups is not None:
            self._look_ups.cancel()

    async def _look_up_leads(self, pages: int, until: float) -> None:
        """Look up the leads for which the changefeed was not read back far enough, until a time.

        If there are none, and the poll took only one page, the least recently looked up lead is looked up, in case the
        changefeed has missed its conversion.
        """
        lead_ids = self._registry.unchecked
        least_recent = self._registry.least_recently_looked_up
        if not lead_ids and pages == 1 and least_recent is not None:
            lead_ids = [least_recent]
        for lead_id in lead_ids:
            if self._loop.time() >= until or self._client is None:
                return
            if self._registry.is_awaited(lead_id):
                await self._look_up(self._client, lead_id)

    async def _look_up(self, client: AsyncLeadConversionsClient, lead_id: int) -> None:
        """Look one lead up, with one attempt. A failure concerns only the subscribers of this lead."""
        self._looked_up_lead = lead_id
        try:
            conversion = await client.find(ListQuery(per_page=1, lead_id=lead_id))
        except LeadConversionError as error:
            log.warning("The look-up of lead %d failed: %s", lead_id, error)
            for wait in list(self._waits):
                wait.look_up_failed(lead_id, error)
            self._registry.postpone_lookup(lead_id)
        else:
            for wait in self._waits:
                wait.look_up_succeeded(lead_id)
            self._registry.note_lookup(lead_id, conversion)
        finally:
            self._looked_up_lead = None

    async def _request(self, call: Callable[[AsyncLeadConversionsClient], Awaitable[T]]) -> T:
        """Send a request, and retry it until it succeeds or fails with a permanent error."""
        while True:
            try:
                with self._outage.measured():
                    result = await call(await self._open())
            except PERMANENT_ERRORS:
                raise
            except LeadConversionError as error:
                await self._handle_failure(error)
            else:
                self._failures = 0
                for wait in self._waits:
                    wait.succeeded()
                return result

    async def _open(self) -> AsyncLeadConversionsClient:
        if self._client is None:
            self._client = await open_async_client(self._conn_id)
            self._registry.settle_time = self._client.config.settle_time
        return self._client

    async def _handle_failure(self, error: LeadConversionError) -> None:
        """Notify the subscribers, then back off. A permanent error ends all subscriptions, so it needs no back-off."""
        self._failures += 1
        log.warning("Request failed, %d in a row: %s", self._failures, error)
        for subscriber in self._subscribers:
            subscriber.failed(error)
        if isinstance(error, PERMANENT_ERRORS):
            self._failures = 0
            await self._close()  # the next subscriber reads the connection again, which may be corrected by then
        else:
            back_off = self._interval * 2.0 ** min(self._failures - 1, 16)
            await asyncio.sleep(min(back_off, max(self._interval, MAX_BACK_OFF)))

    async def _close(self) -> None:
        self._cancel_look_ups()
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    def _report_end(self, task: asyncio.Task[None]) -> None:
        """Fail the remaining subscribers if the reader ends with an unexpected error."""
        error = None if task.cancelled() else task.exception()
        for subscriber in self._subscribers:
            if error is not None and not subscriber.done.done():
                subscriber.done.set_exception(error)


def _page_of(query: ListQuery) -> Callable[[AsyncLeadConversionsClient], Awaitable[Page]]:
    return lambda client: client.get_page(query)
