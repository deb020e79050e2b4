"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeVar

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exchange import Counters, Exchange, Result, Send, Steps, Wait
from airflow_provider_leadconv.api.messages import USER_AGENT, Answer, NoAnswer, Request
from airflow_provider_leadconv.api.paging import Listing
from airflow_provider_leadconv.api.records import ConversionRequest, LeadConversion, Page
from airflow_provider_leadconv.api.transport import RequestsTransport
from airflow_provider_leadconv.api.wire import ListQuery, conversion_request, read_conversion, read_page

T = TypeVar("T")


class Transport(Protocol):
    """Makes one attempt at a request."""

    def __call__(self, request: Request, token: str) -> Answer | NoAnswer:
        """:return: what came back."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class LeadConversionsClient:
    """The API's two operations, paced and repeated by the rules of :class:`~.exchange.Exchange`.

    Threads may share a client. It is a context manager that closes its connections.

    :param config: where to, how fast, how long.
    :param renew_token: reads the token again after a 401; ``None`` if it cannot change.
    :param transport: makes the attempts; default: over ``requests``.
    :param user_agent: what names the caller to the API.
    :param counters: count its requests; default: of its own.
    :param clock: seconds on a clock that never runs backwards.
    :param sleep: waits so many seconds.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        renew_token: Callable[[], str] | None = None,
        transport: Transport | None = None,
        user_agent: str = USER_AGENT,
        counters: Counters | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config = config
        self.clock = clock
        self.sleep = sleep
        self._renew_token = renew_token
        self._transport = transport or RequestsTransport(config, user_agent)
        self._exchange = Exchange(config, counters=counters, clock=clock)

    @property
    def counters(self) -> Counters:
        """What this client did so far."""
        return self._exchange.counters

    def get_page(self, query: ListQuery) -> Page:
        """Ask for one page, as the API has it.

        :raises LeadConversionError: of the class that says what to do about it.
        """
        return self._run(self._exchange.steps(query.request(), lambda answer: read_page(answer, query)))

    def list_pages(self, query: ListQuery) -> Iterator[list[LeadConversion]]:
        """Walk a listing by cursor, newest first, a list of conversions for each request.

        :raises InvalidResponseError: if the listing contradicts itself, so that rows may be missing.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        listing = Listing(query)
        while (following := listing.next_query) is not None:
            yield listing.take(self.get_page(following))

    def find(self, query: ListQuery) -> LeadConversion | None:
        """:return: the newest conversion that a query finds, or ``None``."""
        return next((conversion for page in self.list_pages(query) for conversion in page), None)

    def post(self, lead: ConversionRequest) -> LeadConversion:
        """Ask for a conversion. It is sent again only if it was not sent at all, or refused unseen.

        :raises UnknownOutcomeError: if the lead may have been converted.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        return self._run(self._exchange.steps(conversion_request(lead), lambda answer: read_conversion(answer, lead)))

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T]) -> T:
        result: Result = None
        try:
            while True:
                step = steps.send(result)
                result = None
                if isinstance(step, Send):
                    result = self._transport(step.request, step.token)
                elif isinstance(step, Wait):
                    self.sleep(step.seconds)
                elif self._renew_token is not None:
                    result = self._renew_token()
        except StopIteration as end:
            value: T = end.value
            return value
