"""One request, repeated until it is answered or given up: what both transports drive.

The steps are a generator that yields what is to be done and is sent what came of it. It knows no socket, no thread and
no event loop, so ``requests`` and ``httpx2`` behave alike, and the tests run it on a simulated clock.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Literal, TypeVar
from urllib.parse import urlsplit

import msgspec

from airflow_provider_leadconv.api.config import ClientConfig, Secret, is_loopback
from airflow_provider_leadconv.api.error_mapping import (
    after_retirement,
    error_from_response,
    error_from_transport_failure,
    error_from_unforeseen,
)
from airflow_provider_leadconv.api.exceptions import (
    RETIREMENT,
    AuthenticationError,
    LeadConversionError,
    RateLimitedError,
    RequestNotSentError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.http import PATH, Request, Response, TransportFailure
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.api.rate_limiting.scope import limiter_of
from airflow_provider_leadconv.api.retry import retry_delay
from airflow_provider_leadconv.api.transports.forking import reset_in_children

log = logging.getLogger(__name__)
T = TypeVar("T")


def utc_now() -> datetime:
    """Return the date and time, in UTC."""
    return datetime.now(UTC)


OVERRUN = 1.0
"""Seconds by which an attempt may end later than its timeout on a busy machine."""


_PERMIT_LIFETIME = 0.05
"""Seconds for which a permit is valid that was acquired ahead. A process that was suspended would send in a burst."""


class Wait(msgspec.Struct, frozen=True):
    """Sleep so many seconds."""

    seconds: float


class Send(msgspec.Struct, frozen=True):
    """Send the request once with this token.

    The result is a :class:`Response`, a :class:`TransportFailure`, or the exception that the transport raised.
    """

    request: Request
    token: Secret


class RenewToken(msgspec.Struct, frozen=True):
    """Read the connection again; the result is its token, or ``None`` if there is nowhere to read it from."""


Step = Wait | Send | RenewToken
StepResult = Response | TransportFailure | Exception | Secret | str | None
Steps = Generator[Step, StepResult, T]


Count = Literal["requests", "throttled"]


class Counters:
    """What a client did so far. Threads may share it.

    :param on_count: called with the name of what is counted, each time.
    """

    def __init__(self, on_count: Callable[[Count], None] | None = None) -> None:
        self.requests = 0
        """Attempts sent."""
        self.throttled = 0
        """Of these, refused for too many requests."""
        self._on_count = on_count
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Count on, with a lock of its own."""
        self._lock = threading.Lock()

    def add(self, name: Count) -> None:
        """Count one more."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)
        if self._on_count is not None:
            self._on_count(name)


class Exchange:
    """The rules by which a client's requests are paced, repeated and given up. Threads and forked processes
    may share it.

    :param config: limits and timeouts.
    :param counters: count what is sent; default: of its own.
    :param limiter: paces the requests; default: that of the token, in the ``rate_limit_scope`` of the configuration.
    :param clock: seconds on a clock that never runs backwards.
    :param now: the date and time, in UTC.
    :param jitter: random numbers from 0 to 1.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        counters: Counters | None = None,
        limiter: AdaptiveRateLimiter | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.counters = counters or Counters()
        self._config = config
        self._token = Secret.wrap(config.token)
        self._clock = clock
        self._now = now
        self._jitter = jitter
        self._limiter = limiter or limiter_of(config, self._token, clock)
        self._has_own_limiter = limiter is not None
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Leave the permits that are acquired ahead to the parent."""
        self._lock = threading.Lock()
        self._permits: list[float] = []  # when each was acquired

    def acquire_permit(self) -> float:
        """Acquire a permit ahead, for the next attempt of any thread. It can then be decided last what to send.

        :return: 0.0 if the permit was acquired; otherwise the seconds to wait before calling again.
        """
        delay = self._limiter.acquire(self)
        if not delay:
            with self._lock:
                self._permits.append(self._clock())
        return delay

    def _delay_to_permit(self, caller: object) -> float:
        with self._lock:
            if self._permits and self._clock() - self._permits.pop() <= _PERMIT_LIFETIME:
                return 0.0
        return self._limiter.acquire(caller)

    def steps(
        self, request: Request, read: Callable[[Response], T], may_send: Callable[[], bool] | None = None
    ) -> Steps[T]:
        """Drive one request to its end.

        :param read: turns a response into the result, or raises what the response stands for.
        :param may_send: asked once a permit is there, right before an attempt is sent; default: always.
        :return: what ``read`` returned.
        :raises RequestNotSentError: if an attempt may not be sent.
        :raises LeadConversionError: what the last attempt came to.
        """
        try:
            return (yield from self._attempts(request, read, may_send))
        except LeadConversionError as error:
            error.connection = self._config.connection
            known = after_retirement(error) if self._is_retired() else error
            if known is error:
                raise
            raise known from None

    def _attempts(
        self, request: Request, read: Callable[[Response], T], may_send: Callable[[], bool] | None
    ) -> Steps[T]:
        started: float | None = None
        failed: LeadConversionError | None = None
        attempts = 0
        renewed = False
        while True:
            caller = object()
            while delay := self._delay_to_permit(caller):
                yield Wait(delay)
            sent_at, token = self._clock(), self._token
            started = sent_at if started is None else started
            if failed and sent_at - started + self._config.timeout > self._config.retry_timeout:
                raise failed  # the wait for a permit took too long
            if may_send is not None and not may_send():
                raise RequestNotSentError(
                    "the request was withheld, because the run is ending", method=request.method, path=PATH
                )
            attempts += 1
            result = yield Send(request, token)
            try:
                return self._outcome(request, result, read, token)
            except AuthenticationError:
                if renewed or not (yield from self._renew(token)):
                    raise
                renewed = True
            except LeadConversionError as error:
                self._learn(error, sent_at)
                wait = self._delay(error, attempts, self._clock() - started)
                if wait is None:
                    raise
                log.debug("Attempt %d failed, retrying in %.1f s: %s", attempts, wait, error.message)
                failed = error
                yield Wait(wait)

    def _outcome(self, request: Request, result: StepResult, read: Callable[[Response], T], token: Secret) -> T:
        try:
            return self._read(request, result, read, token)
        except LeadConversionError:
            raise
        except Exception as error:  # whatever it is, the request may have been sent
            raise error_from_unforeseen(request.method, error) from error

    def _read(self, request: Request, result: StepResult, read: Callable[[Response], T], token: Secret) -> T:
        self.counters.add("requests")
        if isinstance(result, Exception):
            raise result
        if not isinstance(result, Response):
            assert isinstance(result, TransportFailure), "a transport returns one of the two"  # noqa: S101
            raise error_from_transport_failure(request.method, result)
        response = msgspec.structs.replace(result, secret=token)
        # Once Sell is retired, a 404 is no look-up without a match.
        is_refused = request.method == "GET" and response.status_code == 404 and self._is_retired()
        if is_refused and (refusal := error_from_response(request.method, response)):
            raise refusal
        return read(response)

    def _is_retired(self) -> bool:
        """Whether the host is Sell's, not a stand-in on this machine, and Sell is retired."""
        return self._now() >= RETIREMENT and not is_loopback(urlsplit(self._config.base_url).hostname or "")

    def _renew(self, used: Secret) -> Generator[Step, StepResult, bool]:
        """Whether there is another token than the one just refused."""
        if self._token == used:
            renewed = yield RenewToken()
            if isinstance(renewed, Secret | str):
                self._token = Secret.wrap(renewed)
                if not self._has_own_limiter:
                    self._limiter = limiter_of(self._config, self._token, self._clock)
        return self._token != used

    def _learn(self, error: LeadConversionError, sent_at: float) -> None:
        if isinstance(error, UnknownOutcomeError):
            # An attempt overruns its timeout if the process was suspended. The request may have left at its end.
            now = self._clock()
            error.sent_at = now if now - sent_at > self._config.timeout + OVERRUN else sent_at
        # A 409 may be throttling, too. It proves nothing about a conversion, and a lower rate does no harm.
        if isinstance(error, RateLimitedError) or error.status_code == 409:
            self._limiter.throttled(sent_at)
            self.counters.add("throttled")

    def _delay(self, error: LeadConversionError, attempts: int, elapsed: float) -> float | None:
        return retry_delay(
            error,
            attempts=attempts,
            elapsed=elapsed,
            timeout=self._config.timeout,
            retry_timeout=self._config.retry_timeout,
            now=self._now(),
            jitter=self._jitter(),
        )
