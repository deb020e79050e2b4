"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from airflow_provider_leadconv.api.codec import conversion_request, read_conversion, read_page
from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.exchange import Counters, Exchange, Send, StepResult, Steps, Wait, utc_now
from airflow_provider_leadconv.api.http import USER_AGENT, Request, Response, TransportFailure
from airflow_provider_leadconv.api.models import ConversionRequest, LeadConversion, Page
from airflow_provider_leadconv.api.pagination import Listing
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.api.transports.requests_transport import RequestsTransport

T = TypeVar("T")


class Transport(Protocol):
    """Makes one attempt at a request."""

    def __call__(self, request: Request, token: Secret) -> Response | TransportFailure:
        """Return what came back."""
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
    :param limiter: paces its requests; default: that of the token, in the ``rate_limit_scope`` of the configuration.
    :param clock: seconds on a clock that never runs backwards.
    :param now: the date and time, in UTC.
    :param sleep: waits so many seconds.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        renew_token: Callable[[], Secret | str] | None = None,
        transport: Transport | None = None,
        user_agent: str = USER_AGENT,
        counters: Counters | None = None,
        limiter: AdaptiveRateLimiter | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.config = config
        self.clock = clock
        self.sleep = sleep
        self._renew_token = renew_token
        self._transport = transport or RequestsTransport(config, user_agent)
        self._exchange = Exchange(config, counters=counters, limiter=limiter, clock=clock, now=now)

    @property
    def counters(self) -> Counters:
        """What this client did so far."""
        return self._exchange.counters

    def acquire_permit(self) -> float:
        """Acquire a permit of the rate limiter ahead, for the next request of any thread.

        :return: 0.0 if the permit was acquired; otherwise the seconds to wait before calling again.
        """
        return self._exchange.acquire_permit()

    def get_page(self, query: ListQuery) -> Page:
        """Ask for one page, as the API has it.

        :raises LeadConversionError: of the class that says what to do about it.
        """
        read = partial(read_page, query=query, check_count=self.config.check_count)
        return self.send(query.request(), read)

    def list_pages(self, query: ListQuery) -> Iterator[list[LeadConversion]]:
        """Walk a listing by cursor, newest first, a list of conversions for each request.

        :raises InvalidResponseError: if the listing contradicts itself, so that rows may be missing.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        listing = Listing(query)
        while (following := listing.next_query) is not None:
            try:
                page = self.get_page(following)
            except InvalidRequestError as error:
                listing.restart(error)
            else:
                yield listing.take(page)

    def find(self, query: ListQuery) -> LeadConversion | None:
        """Return the newest conversion that a query finds, or ``None``."""
        return next((conversion for page in self.list_pages(query) for conversion in page), None)

    def post(self, lead: ConversionRequest, *, may_send: Callable[[], bool] | None = None) -> LeadConversion:
        """Send a conversion. It is sent again only if it was not sent at all, or refused unseen.

        :param may_send: asked right before each attempt, when all waits are over; default: always.
        :raises UnknownOutcomeError: if the lead may have been converted.
        :raises RequestNotSentError: if an attempt may not be sent; no earlier one had an effect.
        :raises LeadConversionError: of the class that says what to do about it.
        """
        read = partial(read_conversion, lead=lead)
        return self.send(conversion_request(lead), read, may_send)

    def send(self, request: Request, read: Callable[[Response], T], may_send: Callable[[], bool] | None = None) -> T:
        """Send any request, paced and repeated like those above.

        :param read: turns a response into the result, or raises what the response stands for.
        :param may_send: asked right before each attempt, when all waits are over; default: always.
        :return: what ``read`` returned.
        :raises RequestNotSentError: if an attempt may not be sent.
        :raises LeadConversionError: what the last attempt came to.
        """
        return self._run(self._exchange.steps(request, read, may_send))

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
        result: StepResult = None
        try:
            while True:
                step = steps.send(result)
                result = None
                if isinstance(step, Send):
                    try:
                        result = self._transport(step.request, step.token)
                    except Exception as error:  # noqa: BLE001  # the exchange knows what it means for this request
                        result = error
                elif isinstance(step, Wait):
                    self.sleep(step.seconds)
                elif self._renew_token is not None:
                    result = self._renew_token()
        except StopIteration as end:
            value: T = end.value
            return value
