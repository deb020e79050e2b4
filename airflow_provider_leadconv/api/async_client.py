"""The client for an event loop. It reads only: writes never run in the triggerer, whose restarts would repeat them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from airflow_provider_leadconv.api.codec import read_page
from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.exchange import Counters, Exchange, Send, StepResult, Steps, Wait, utc_now
from airflow_provider_leadconv.api.http import USER_AGENT, Request, Response, TransportFailure
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.pagination import Listing
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.transports.httpx2_transport import Httpx2Transport

T = TypeVar("T")


class AsyncTransport(Protocol):
    """Makes one attempt at a request."""

    async def __call__(self, request: Request, token: Secret) -> Response | TransportFailure:
        """Return what came back."""
        ...

    async def aclose(self) -> None:
        """Give back connections."""
        ...


class AsyncLeadConversionsClient:
    """The API's reads, paced and repeated by the same rules as those of the synchronous client.

    Tasks of one event loop may share it. It is an async context manager that closes its connections.

    :param config: where to, how fast, how long.
    :param renew_token: reads the token again after a 401; ``None`` if it cannot change.
    :param transport: makes the attempts; default: over ``httpx2``.
    :param user_agent: what names the caller to the API.
    :param counters: count its requests; default: of its own.
    :param clock: seconds on a clock that never runs backwards.
    :param now: the date and time, in UTC.
    :param sleep: waits so many seconds.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        renew_token: Callable[[], Awaitable[Secret | str]] | None = None,
        transport: AsyncTransport | None = None,
        user_agent: str = USER_AGENT,
        counters: Counters | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.config = config
        self.sleep = sleep
        self._renew_token = renew_token
        self._transport = transport or Httpx2Transport(config, user_agent)
        self._exchange = Exchange(config, counters=counters, clock=clock, now=now)

    @property
    def counters(self) -> Counters:
        """What this client did so far."""
        return self._exchange.counters

    async def get_page(self, query: ListQuery) -> Page:
        """Ask for one page, as the API has it.

        :raises LeadConversionError: of the class that says what to do about it.
        """
        read = partial(read_page, query=query, check_count=self.config.check_count)
        return await self._run(self._exchange.steps(query.request(), read))

    async def list_pages(self, query: ListQuery) -> AsyncIterator[list[LeadConversion]]:
        """Walk a listing by cursor, newest first, a list of conversions for each request.

        :raises InvalidResponseError: if the listing contradicts itself, so that rows may be missing.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        listing = Listing(query)
        while (following := listing.next_query) is not None:
            try:
                page = await self.get_page(following)
            except InvalidRequestError as error:
                listing.restart(error)
            else:
                yield listing.take(page)

    async def find(self, query: ListQuery) -> LeadConversion | None:
        """Return the newest conversion that a query finds, or ``None``."""
        async for page in self.list_pages(query):
            if page:
                return page[0]
        return None

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        result: StepResult = None
        try:
            while True:
                step = steps.send(result)
                result = None
                if isinstance(step, Send):
                    try:
                        result = await self._transport(step.request, step.token)
                    except Exception as error:  # noqa: BLE001  # the exchange knows what it means for this request
                        result = error
                elif isinstance(step, Wait):
                    await self.sleep(step.seconds)
                elif self._renew_token is not None:
                    result = await self._renew_token()
        except StopIteration as end:
            value: T = end.value
            return value
