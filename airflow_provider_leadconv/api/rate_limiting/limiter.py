"""The rate limiter of a process: its threads and coroutines wait here for permits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from typing_extensions import override

from airflow_provider_leadconv.api.rate_limiting.adaptive import CATCH_UP, AdaptiveRate
from airflow_provider_leadconv.api.transports.forking import reset_in_children

T = TypeVar("T")

_EXPIRES: Final = 1.0  # seconds after its time until a permit, or a caller that did not come back, counts no more
_BUSY_DELAY: Final = 0.002  # seconds until the state is asked for again while another process has it


class StateBusyError(Exception):
    """Another process uses the state at this moment."""


class RateState(Protocol):
    """Where the adaptive rate is, and who shares it."""

    def update(self, now: float, change: Callable[[AdaptiveRate], T]) -> T:
        """Change the rate while no one else does. It never waits.

        :param now: the time.
        :param change: is called with the rate, at most once.
        :return: what it returned.
        :raises StateBusyError: if another process does; nothing was changed.
        """
        ...

    def reset_after_fork(self) -> None:
        """Share nothing with the parent that must not be shared. The process has only one thread then."""
        ...


class ProcessState(RateState):
    """An adaptive rate of this process alone.

    :param max_rate: requests per second.
    :param start_rate: requests per second at the start; see :meth:`.AdaptiveRate.at_start`.
    """

    def __init__(self, max_rate: float, start_rate: float | None = None) -> None:
        self._at_start = max_rate, start_rate
        self.reset_after_fork()

    @override
    def update(self, now: float, change: Callable[[AdaptiveRate], T]) -> T:
        return change(self._rate)

    @override
    def reset_after_fork(self) -> None:
        self._rate = AdaptiveRate.at_start(*self._at_start)  # found anew: the parent goes on at the old one


class AdaptiveRateLimiter:
    """Hands out permits for requests, evenly spaced, at a rate that grows until the server rejects a request.

    A permit is acquired before every request. Synchronous code does
    ``while delay := limiter.acquire(): sleep(delay)``, asynchronous code awaits instead; the limiter itself never
    waits. All threads of a process share one; the processes of a host share its state, if that is a
    :class:`~.host_state.HostState`.

    A process has at most one permit reserved, however many of its threads wait. So a process that is killed loses one
    permit, and one with a single thread gets as much as one with many: permits are reserved in turn.

    Simulation of a limit of 10/s for 300 s, of processes that share no state, mean of 4 seeds (none of them used to
    choose the constants): requests served per second, share of requests rejected, Jain's fairness index.

    ========= =================== =================== ===================
    processes token bucket        window of 1 s       sliding window
    ========= =================== =================== ===================
    1         9.9   0.0 %         9.9   0.0 %         9.2   0.3 %
    2         9.9   1.3 %  1.00   9.3   1.2 %  0.97   8.8   1.2 %  0.99
    4         9.9   3.4 %  0.97   9.5   3.5 %  0.97   8.6   3.6 %  0.98
    8         10.0  8.0 %  0.97   9.7   7.9 %  0.99   8.3   9.6 %  0.98
    16        10.0 18.1 %  0.98   9.8  17.7 %  0.98   8.3  21.8 %  0.97
    ========= =================== =================== ===================

    Rejections are the only signal between processes that share no state, so slower growth trades fairness for fewer
    rejections.

    On a busy machine threads wake up late, and the next request catches up: at ``max_rate``, two requests may be half
    an interval apart, but n of them still take at least n - 0.5 intervals. Without this, wake-ups that are 10 ms late
    would turn 10/s into 9/s.

    :param max_rate: maximum requests per second; above 0.
    :param start_rate: requests per second at the start, if the limit is known; default: slow, and growing until the
        first rejection.
    :param clock: returns the seconds of a monotonic clock; default: :func:`time.monotonic`.
    :param state: shared with others; default: of its own, which begins at the start rate.
    :raises ValueError: if ``max_rate`` is not above 0.
    """

    def __init__(
        self,
        max_rate: float,
        *,
        start_rate: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        state: RateState | None = None,
    ) -> None:
        if not max_rate > 0:
            raise ValueError(f"max_rate must be above 0 requests a second, not {max_rate!r}")
        self._max_rate = max_rate
        self._clock = clock
        self._state = state or ProcessState(max_rate, start_rate)
        self._rate = AdaptiveRate.at_start(max_rate, start_rate).rate
        self._growth = 0.0
        self._start_afresh()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Leave the reserved permit and the waiting callers to the parent."""
        self._state.reset_after_fork()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._permit: float | None = None  # time of the permit that is reserved
        self._waiting: dict[object, float] = {}  # callers in their order, and when they will ask again
        self._rejected: list[float] = []  # when requests were sent whose rejection is not in the state yet

    @property
    def rate(self) -> float:
        """Requests per second, as last seen: of this process, or of all that share its state."""
        return min(self._rate, self._max_rate)

    def acquire(self, caller: object = None) -> float:
        """Acquire a permit, or wait in line for one.

        :param caller: identity of a caller that may call again, so that it keeps its place in the line; default: none.
        :return: 0.0 if the permit was acquired; otherwise the seconds to wait before calling again.
        """
        with self._lock:
            now = self._clock()
            caller = object() if caller is None else caller
            self._waiting = {each: at for each, at in self._waiting.items() if each is caller or now < at + _EXPIRES}
            try:
                is_acquired = self._take_permit(now, has_others=len(self._waiting) > (caller in self._waiting))
            except StateBusyError:
                ask_again = now + _BUSY_DELAY
            else:
                if is_acquired:
                    self._waiting.pop(caller, None)
                    return 0.0
                ask_again = self._turn_of(caller)
            self._waiting[caller] = ask_again
            return ask_again - now

    def throttled(self, sent_at: float) -> None:
        """Cut the rate, because a request was throttled.

        :param sent_at: when the request was sent, in seconds of the limiter's clock. Requests sent before the last cut
            are ignored, since they say nothing about the current rate.
        """
        with self._lock:
            self._rejected.append(sent_at)
            with suppress(StateBusyError):  # then the next update has it
                self._update(self._clock(), lambda _: None)

    def _take_permit(self, now: float, *, has_others: bool) -> bool:
        """Take the reserved permit if its time has come, and reserve the next one if there is none or others wait."""
        permit = self._permit
        if permit is not None and now > permit + _EXPIRES:
            permit = None
        if permit is not None and now < permit:
            return False
        if permit is not None and not has_others and now <= permit + CATCH_UP / self._max_rate:
            self._permit = None
            return True

        def take(rate: AdaptiveRate) -> tuple[bool, float | None]:
            due = rate.reserve(now, self._max_rate, has_waited=has_others) if permit is None else permit
            if now < due:
                return False, due
            rate.use(now, self._max_rate)
            return True, rate.reserve(now, self._max_rate, has_waited=True) if has_others else None

        is_taken, self._permit = self._update(now, take)
        return is_taken

    def _turn_of(self, caller: object) -> float:
        """Return when the permits of those before the caller will be used. Callers wake up one after the other."""
        assert self._permit is not None, "a caller waits for a permit"  # noqa: S101
        turn, rate = self._permit, self.rate
        for each in self._waiting:
            if each is caller:
                break
            rate = min(self._max_rate, rate + self._growth)
            turn += 1.0 / rate
        return turn

    def _update(self, now: float, change: Callable[[AdaptiveRate], T]) -> T:
        def change_all(rate: AdaptiveRate) -> T:
            for sent_at in self._rejected:
                rate.cut(now, self._max_rate, sent_at)
            result = change(rate)
            self._rate, self._growth = rate.rate, rate.growth(now, self._max_rate)
            return result

        result = self._state.update(now, change_all)
        self._rejected.clear()
        return result
