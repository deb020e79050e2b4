"""The ways a server may count "10 requests a second per token".

Zendesk documents the figure, not the method, so the sandbox and the pacing simulations know three.
All of them take the time as an argument, and a refused request costs nothing.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol


class RateLimit(Protocol):
    """Decides whether one more request is admitted."""

    def admit(self, now: float) -> bool:
        """:param now: seconds on a clock that never runs backwards.
        :return: whether the request that arrives now is served.
        """
        ...


class TokenBucket:
    """Refilled evenly at ``rate`` tokens a second, up to ``burst``.

    :param rate: requests a second.
    :param burst: requests that may come at once after a pause; default one second's worth.
    """

    def __init__(self, rate: float, burst: float | None = None) -> None:
        self._rate = rate
        self._burst = max(1.0, rate if burst is None else burst)
        self._tokens = self._burst
        self._updated: float | None = None

    def admit(self, now: float) -> bool:
        """See :meth:`RateLimit.admit`."""
        if self._updated is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class FixedWindow:
    """At most ``rate * window`` requests in each window that starts at a multiple of ``window`` seconds.

    :param rate: requests a second.
    :param window: length of a window in seconds.
    """

    def __init__(self, rate: float, window: float = 1.0) -> None:
        self._allowed = rate * window
        self._window = window
        self._current: int | None = None
        self._served = 0

    def admit(self, now: float) -> bool:
        """See :meth:`RateLimit.admit`."""
        window = int(now // self._window)
        if window != self._current:
            self._current, self._served = window, 0
        if self._served + 1 > self._allowed:
            return False
        self._served += 1
        return True


class SlidingWindow:
    """At most ``rate * window`` requests in any ``window`` seconds.

    :param rate: requests a second.
    :param window: length of the window in seconds.
    """

    def __init__(self, rate: float, window: float = 1.0) -> None:
        self._allowed = rate * window
        self._window = window
        self._served: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """See :meth:`RateLimit.admit`."""
        while self._served and self._served[0] <= now - self._window:
            self._served.popleft()
        if len(self._served) + 1 > self._allowed:
            return False
        self._served.append(now)
        return True
