"""The shortest time that a bulk of leads could take, found by trying all schedules of a small model.

The model knows how long the changefeed is. Requests are one interval apart, and each is answered after the latency.
The run reads the first page, checks each lead by a look-up or by a walk to the end, sends it once it is checked, and
reads one page at the end. All schedules are tried that differ in whether to walk, in how many leads to look up, and in
whether look-ups or conversions go first; the next page of a walk goes before both.
"""

from __future__ import annotations

from itertools import product
from math import ceil

RATE = 10.0
PAGE = 200
_GRID = 100
"""Numbers of look-ups that are tried, if there are more leads than that."""


def optimum(leads: int, pages: int, latency: float) -> tuple[float, float]:
    """Return the shortest time to the first conversion, and to the end of the run; each of its own schedule.

    :param pages: length of the changefeed.
    :param latency: seconds until a response.
    """
    steps = max(1, leads // _GRID)
    numbers = sorted({*range(0, leads, steps), leads})
    found = [
        schedule(leads, pages if walks else 1, latency, looked_up, look_ups_first=look_ups_first)
        for walks, looked_up, look_ups_first in product((True, False), numbers, (True, False))
        if walks or pages == 1 or looked_up == leads
    ]
    return min(first for first, _ in found), min(total for _, total in found)


def schedule(leads: int, pages: int, latency: float, looked_up: int, *, look_ups_first: bool) -> tuple[float, float]:
    """Return the time to the first conversion and to the end.

    :param pages: how many to read. If not all leads are looked up, the last one clears the others.
    :param looked_up: how many leads to look up at most.
    """
    answer = ceil(latency * RATE - 1e-9)  # intervals until a response can be acted upon
    answered = [0] * (answer + 1)  # look-ups that are answered at an interval, in a ring
    slot = unread = 0
    unread = pages
    page_at, walk_ends_at = 0, None
    asked = cleared = sent = 0
    first = None
    while sent < leads:
        place = slot % (answer + 1)
        cleared += answered[place]
        answered[place] = 0
        if walk_ends_at is not None and slot >= walk_ends_at and looked_up < leads:
            cleared, asked = leads, looked_up
        can_look_up = asked < looked_up and cleared < leads
        can_send = cleared > sent and slot >= answer
        if unread and slot >= page_at:
            unread -= 1
            page_at = slot + answer
            walk_ends_at = None if unread else page_at
        elif can_look_up and (look_ups_first or not can_send):
            asked += 1
            answered[(slot + answer) % (answer + 1)] += 1
        elif can_send:
            sent += 1
            first = slot / RATE + latency if first is None else first
        slot += 1
    last = (slot - 1 + answer) / RATE  # when the last page is asked for
    return first or 0.0, last + latency
