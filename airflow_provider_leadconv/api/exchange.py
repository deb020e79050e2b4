"""One request, repeated until it is answered or given up: what both transports drive.

The steps are a generator that yields what is to be done and is sent what came of it. It knows no socket, no thread and
no event loop, so ``requests`` and ``httpx`` behave alike, and the tests run it on a simulated clock.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Literal, TypeVar

import msgspec

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.errors import (
    AuthenticationError,
    LeadConversionError,
    RateLimitedError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.messages import Answer, NoAnswer, Request
from airflow_provider_leadconv.api.pacing import AdaptivePacer
from airflow_provider_leadconv.api.refusals import failure
from airflow_provider_leadconv.api.retrying import retry_delay

log = logging.getLogger(__name__)
T = TypeVar("T")


class Wait(msgspec.Struct, frozen=True):
    """Sleep so many seconds."""

    seconds: float


class Send(msgspec.Struct, frozen=True):
    """Send the request once with this token; the result is an :class:`Answer` or a :class:`NoAnswer`."""

    request: Request
    token: str

    def __repr__(self) -> str:
        return f"Send({self.request!r})"


class RenewToken(msgspec.Struct, frozen=True):
    """Read the connection again; the result is its token, or ``None`` if there is nowhere to read it from."""


Step = Wait | Send | RenewToken
Result = Answer | NoAnswer | str | None
Steps = Generator[Step, Result, T]


Count = Literal["requests", "throttled"]


class Counters:
    """What a client did so far. Threads may share it.

    :param tell: is told the name of what is counted, each time.
    """

    def __init__(self, tell: Callable[[Count], None] | None = None) -> None:
        self.requests = 0
        """Attempts sent."""
        self.throttled = 0
        """Of these, refused for too many requests."""
        self._tell = tell
        self._lock = threading.Lock()

    def add(self, name: Count) -> None:
        """Count one more."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)
        if self._tell is not None:
            self._tell(name)


class Exchange:
    """The rules by which a client's requests are paced, repeated and given up. Threads may share it.

    :param config: limits and timeouts.
    :param counters: count what is sent; default: of its own.
    :param clock: seconds on a clock that never runs backwards.
    :param jitter: random numbers from 0 to 1.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        counters: Counters | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.counters = counters or Counters()
        self._config = config
        self._token = config.token
        self._pacer = AdaptivePacer(config.requests_per_second, clock=clock)
        self._clock = clock
        self._jitter = jitter

    def steps(self, request: Request, read: Callable[[Answer], T]) -> Steps[T]:
        """Drive one request to its end.

        :param read: turns an answer into the result, or raises what the answer stands for.
        :return: what ``read`` returned.
        :raises LeadConversionError: what the last attempt came to.
        """
        started: float | None = None
        failed: LeadConversionError | None = None
        attempts = 0
        renewed = False
        while True:
            while delay := self._pacer.ask():
                yield Wait(delay)
            sent_at, token = self._clock(), self._token
            started = sent_at if started is None else started
            if failed and sent_at - started + self._config.timeout > self._config.retry_timeout:
                raise failed  # the wait for a slot took too long
            attempts += 1
            result = yield Send(request, token)
            try:
                return self._read(request, result, read, token)
            except AuthenticationError:
                if renewed or not (yield from self._renew(token)):
                    raise
                renewed = True
            except LeadConversionError as error:
                self._learn(error, sent_at)
                wait = self._delay(error, attempts, self._clock() - started)
                if wait is None:
                    raise
                log.debug("Attempt %d failed, next one in %.1f s: %s", attempts, wait, error)
                failed = error
                yield Wait(wait)

    def _read(self, request: Request, result: Result, read: Callable[[Answer], T], token: str) -> T:
        self.counters.add("requests")
        if not isinstance(result, Answer):
            assert isinstance(result, NoAnswer), "a transport answers Send with an Answer or a NoAnswer"  # noqa: S101
            raise failure(request.method, result)
        try:
            return read(result)
        except LeadConversionError:
            clean = _without(token, result)
            if clean == result:
                raise
        # Errors quote answers, and this answer echoes the token: read it once more without.
        return read(clean)

    def _renew(self, used: str) -> Generator[Step, Result, bool]:
        """Whether there is another token than the one just refused."""
        if self._token == used:
            renewed = yield RenewToken()
            if isinstance(renewed, str):
                self._token = renewed
        return self._token != used

    def _learn(self, error: LeadConversionError, sent_at: float) -> None:
        if isinstance(error, UnknownOutcomeError):
            # An attempt can overrun its timeout: many addresses to try, or a machine that slept.
            error.sent_at = max(sent_at, self._clock() - self._config.timeout)
        # A 409 may be throttling, too; of a conversion it proves nothing, but going slower harms nobody.
        if isinstance(error, RateLimitedError) or error.status == 409:
            self._pacer.throttled(sent_at)
            self.counters.add("throttled")

    def _delay(self, error: LeadConversionError, attempts: int, elapsed: float) -> float | None:
        return retry_delay(
            error,
            attempts=attempts,
            elapsed=elapsed,
            timeout=self._config.timeout,
            retry_timeout=self._config.retry_timeout,
            now=datetime.now(UTC),
            jitter=self._jitter(),
        )


def _without(token: str, answer: Answer) -> Answer:
    headers = {name: value.replace(token, "***") for name, value in answer.headers.items()}
    return msgspec.structs.replace(answer, headers=headers, body=answer.body.replace(token.encode(), b"***"))
