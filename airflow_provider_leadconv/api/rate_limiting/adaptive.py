"""The adaptive rate: when the next request may be sent, and what a rejection changes. Pure, with the clock passed in.

The limit is per token, and unrelated processes share it. Responses carry no rate limit headers: the only signal is that
a request was rejected.
"""

from __future__ import annotations

import math
from typing import Final, Self

import msgspec

START_RATE: Final = 1.0
"""Requests/s; raised by one with each request until the first rejection: 10/s within 3 s."""

MIN_RATE: Final = 0.2
"""Requests/s: during an outage a process still tries every 5 s, so it notices the end."""

CATCH_UP: Final = 0.5
"""Of a permit: lateness that is caught up at the maximum rate; more at lower rates."""

MAX_BOUNDS: Final = 8
"""Maximum rates that are counted separately."""

_START_SHARE: Final = 0.1  # of the maximum rate, if that is higher than the start rate
_GROWTH: Final = 0.009  # requests/s per second, right after a cut
_QUIET: Final = 10.0  # seconds after a cut until the growth has doubled; it increases with the square of the time
_CUT: Final = 0.2  # share of the rate that a cut takes
_CAUTION: Final = 0.6  # by which growth and cuts are smaller at the maximum than at half of it
_BOUND_EXPIRES: Final = 10.0  # seconds after its last permit until a maximum rate counts no more


class AdaptiveRate(msgspec.Struct):
    """Evenly spaced permits, at a rate that grows until the server rejects a request.

    Each rejection cuts the rate by a fifth at most. The growth between cuts is the same for all who share a limit,
    whatever their rate, so their shares become equal. It increases with the time since the last cut: a limit raised
    from 4/s to 10/s is used within a minute, and the rate recovers quickly after an outage. For the same reason a rate
    needs no expiry: one that is too high is cut within seconds, one that has been too low for hours grows at once.

    Near the maximum rate, growth and cuts are smaller. Whoever is there has the limit almost alone, and has no share to
    give away; if not, the smaller growth makes shares equal sooner.

    Whoever reserves a permit has a maximum rate. It bounds the permits of all who have the same one; the highest that
    is in use bounds the sum.

    :param rate: requests per second that the server allowed so far; above every maximum rate after that was lowered.
    :param next_permit: time of the next permit that is free.
    :param cut_at: time from which permits have the rate of the last cut; the growth is at its maximum until the first.
    :param bounds: for each maximum rate in use, the time of the next permit that it allows.
    """

    rate: float
    next_permit: float = -math.inf
    cut_at: float = -math.inf
    bounds: dict[float, float] = msgspec.field(default_factory=dict)

    @classmethod
    def at_start(cls, max_rate: float, start_rate: float | None = None) -> Self:
        """Return the rate at the start.

        :param max_rate: requests per second.
        :param start_rate: requests per second, if the limit is known; default: slow, and growing until the first
            rejection.
        """
        start_rate = max(START_RATE, _START_SHARE * max_rate) if start_rate is None else start_rate
        return cls(min(max(start_rate, MIN_RATE), max_rate))

    def reserve(self, now: float, max_rate: float, *, has_waited: bool = False) -> float:
        """Reserve the next permit.

        :param now: the time.
        :param max_rate: never more requests per second.
        :param has_waited: whether it is for a caller that has been waiting for it, and may have woken up late.
        :return: the time of the permit. If that is not after ``now``, it may be used at once.
        """
        highest = self._highest_bound(now, max_rate)
        allowed = self.bounds.get(max_rate, -math.inf)
        # Those who are held up by their own maximum do not show that the permits of all are in full use.
        has_waited = has_waited and allowed - self.next_permit < CATCH_UP / highest
        free = self.next_permit if has_waited else max(self.next_permit, now)
        if has_waited or self.next_permit > now:  # in full use: the rate of an idle process does not grow
            self.rate = max(self.rate, min(highest, self.rate + self.growth(now, highest)))
        permit = max(free, allowed)
        self.next_permit = max(free + 1 / min(self.rate, highest), now + CATCH_UP / highest)
        self._set_bound(max_rate, max(permit + 1 / max_rate, now + CATCH_UP / max_rate))
        return permit

    def use(self, now: float, max_rate: float) -> None:
        """Note that a permit, reserved earlier, is used now, maybe late: the next one keeps its distance."""
        highest = self._highest_bound(now, max_rate)
        self.next_permit = max(self.next_permit, now + CATCH_UP / highest)
        self._set_bound(max_rate, max(self.bounds.get(max_rate, now), now + CATCH_UP / max_rate))

    def cut(self, now: float, max_rate: float, sent_at: float) -> None:
        """Cut the rate, because a request was rejected.

        :param sent_at: when it was sent. Requests with a permit from before the last cut are ignored, since they say
            nothing about the current rate.
        """
        if sent_at >= self.cut_at:
            highest = self._highest_bound(now, max_rate)
            current = min(self.rate, highest)
            self.rate = max(min(MIN_RATE, max_rate), current * (1 - _CUT * _step(current, highest)))
            self.cut_at = max(now, self.next_permit - 1 / current)  # permits up to this time are reserved already

    def growth(self, now: float, max_rate: float) -> float:
        """Return requests per second by which the rate grows with a permit.

        :param max_rate: the highest one in use.
        """
        step = _step(self.rate, max_rate)
        return min(1.0, _GROWTH * step * (1 + (max(0.0, now - self.cut_at) / _QUIET) ** 2) / self.rate)

    def _highest_bound(self, now: float, max_rate: float) -> float:
        if len(self.bounds) > 1 or max_rate not in self.bounds:
            self.bounds = {rate: time for rate, time in self.bounds.items() if now < time + _BOUND_EXPIRES}
        return max(max_rate, *self.bounds) if self.bounds else max_rate

    def _set_bound(self, max_rate: float, time: float) -> None:
        self.bounds[max_rate] = time
        if len(self.bounds) > MAX_BOUNDS:
            del self.bounds[min(self.bounds, key=self.bounds.__getitem__)]


def _step(rate: float, max_rate: float) -> float:
    """Return how large growth and cuts are: 1 up to half of the maximum rate, less above."""
    return 1 - _CAUTION * max(0.0, 2 * min(rate / max_rate, 1.0) - 1)
