"""New conversions in portions, oldest first, each with the window that remembers it as taken.

A portion becomes one event. The window is stored after its event was, so a crash between the two repeats a portion and
loses none.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.records import LeadConversion, as_id
from airflow_provider_leadconv.jobs.feed import Window
from airflow_provider_leadconv.jobs.waiting import OVERLAP_ROWS

MAX_PORTION = 300
"""Rows of an event, which stays in Airflow's database, at the most."""


class Portion(NamedTuple):
    """Conversions, oldest first, and what is remembered once they are taken."""

    conversions: list[LeadConversion]
    window: Window


def starting_now(newest_page: Sequence[LeadConversion]) -> Window:
    """:return: the window for which everything that is on the newest page, or older, is taken."""
    ids = tuple(row.id for row in reversed(newest_page))
    return Window(mark=ids[-1], floor=ids[0] - 1, ids=ids) if ids else Window()


def portions(window: Window, rows: Sequence[LeadConversion]) -> Iterator[Portion]:
    """Divide what is new since a reading of the log.

    What this reading found first is read again by the next one, whatever there is of it: where many ids appeared, some
    may appear late. A portion without conversions only says that less needs to be read from now on.

    :param window: what is taken.
    :param rows: all rows of the log above the window's floor, newest first; if there are too many, the oldest of them.
    """
    taken = set(window.ids)
    fresh = [row for row in reversed(rows) if row.id > window.floor and row.id not in taken]
    for start in range(0, max(1, len(fresh)), MAX_PORTION):
        portion, left = fresh[start : start + MAX_PORTION], fresh[start + MAX_PORTION :]
        taken.update(row.id for row in portion)
        settled = min([window.mark, *(row.id - 1 for row in left[:1])])
        remembered = _window(window, taken, settled)
        if portion or remembered != window:
            yield Portion(portion, remembered)


def _window(last: Window, taken: Iterable[int], settled: int) -> Window:
    """Remember what is taken above the settled rows, and of those, enough for ids that appear late among them."""
    ids = sorted(taken)
    below = ids[: bisect_right(ids, settled)]
    floor = below[-OVERLAP_ROWS] - 1 if len(below) >= OVERLAP_ROWS else last.floor
    return Window(mark=max([last.mark, *ids[-1:]]), floor=floor, ids=tuple(ids[bisect_right(ids, floor) :]))


def payload(conversions: Sequence[LeadConversion]) -> dict[str, Any]:
    """:return: the event of a portion: ``min_id``, ``max_id``, ``count`` and the ``conversions`` as plain dicts."""
    return {
        "min_id": conversions[0].id,
        "max_id": conversions[-1].id,
        "count": len(conversions),
        "conversions": [conversion.to_dict() for conversion in conversions],
    }


def write_window(window: Window) -> dict[str, Any]:
    """:return: the window as what JSON has; a tuple is not of that, and Airflow refuses it."""
    return {"mark": window.mark, "floor": window.floor, "ids": list(window.ids)}


def read_window(stored: object) -> Window:
    """Take what was stored.

    :param stored: a window as a dict; or the id of a conversion, by which somebody says: everything after this one.
    :raises InvalidRequestError: if it is neither.
    """
    if not isinstance(stored, dict):
        mark = as_id(stored, "the mark in the asset's state store") if stored != 0 else 0
        return Window(mark=mark, floor=mark)
    try:
        return msgspec.convert(stored, Window)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the mark in the asset's state store is no window: {error}") from error
