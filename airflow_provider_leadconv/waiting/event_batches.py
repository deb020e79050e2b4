"""New conversions in batches, oldest first, each with the overlap window that marks it as taken.

A batch becomes one event. Its window is stored after the event, so a crash between the two repeats a batch and loses
none.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import Annotated, Any, NamedTuple

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion, as_id
from airflow_provider_leadconv.changefeed import POLL_OVERLAP_ROWS, OverlapWindow

MAX_EVENT_ROWS = 300
"""Maximum number of rows in an event, since events are stored in Airflow's database."""


class EventBatch(NamedTuple):
    """Conversions of one event.

    :param conversions: oldest first.
    :param window: the overlap window to store after the event.
    """

    conversions: list[LeadConversion]
    window: OverlapWindow


def window_from_now(newest_page: Sequence[LeadConversion]) -> OverlapWindow:
    """Return the overlap window that marks all conversions up to the newest page as taken."""
    ids = tuple(row.id for row in reversed(newest_page))
    return OverlapWindow(high_watermark=ids[-1], low_watermark=ids[0] - 1, ids=ids) if ids else OverlapWindow()


def event_batches(window: OverlapWindow, rows: Sequence[LeadConversion], settled: int) -> Iterator[EventBatch]:
    """Split the new rows of a poll into batches.

    A batch without conversions only raises the low watermark, so that later polls read less.

    :param window: the overlap window of the previous batch.
    :param rows: the rows above the low watermark that the window does not have, newest first; if there are too many,
        the oldest.
    :param settled: the id up to which the poll has seen all conversions, as
        :class:`~airflow_provider_leadconv.changefeed.SettledWatermark` knows it.
    :return: the batches, oldest first.
    """
    new_rows = rows[::-1]
    taken = set(window.ids)
    for start in range(0, max(1, len(new_rows)), MAX_EVENT_ROWS):
        batch, remaining = new_rows[start : start + MAX_EVENT_ROWS], new_rows[start + MAX_EVENT_ROWS :]
        taken.update(row.id for row in batch)
        # Up to the highest row of this poll, since it may not have all rows above, and below the rows of later batches.
        complete_up_to = min([settled, *(row.id for row in rows[:1]), *(row.id - 1 for row in remaining[:1])])
        next_window = _next_window(window, taken, complete_up_to)
        if batch or next_window != window:
            yield EventBatch(list(batch), next_window)


def _next_window(previous: OverlapWindow, taken: Iterable[int], complete_up_to: int) -> OverlapWindow:
    """Return the window with all ids taken above ``complete_up_to``, and ``POLL_OVERLAP_ROWS`` ids up to it.

    :param complete_up_to: all rows up to this id are visible, and taken.
    """
    ids = sorted(taken)
    below = ids[: bisect_right(ids, complete_up_to)]
    low_watermark = below[-POLL_OVERLAP_ROWS] - 1 if len(below) >= POLL_OVERLAP_ROWS else previous.low_watermark
    return OverlapWindow(
        high_watermark=max([previous.high_watermark, *ids[-1:]]),
        low_watermark=low_watermark,
        ids=tuple(ids[bisect_right(ids, low_watermark) :]),
    )


def payload(conversions: Sequence[LeadConversion]) -> dict[str, Any]:
    """Return the payload of an event: ``min_id``, ``max_id``, ``count`` and the ``conversions`` as plain dicts."""
    return {
        "min_id": conversions[0].id,
        "max_id": conversions[-1].id,
        "count": len(conversions),
        "conversions": [conversion.to_dict() for conversion in conversions],
    }


class _StoredWindow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An overlap window as the state store has it.

    :param runs: lengths of runs of ids from the low watermark up: not taken, taken, not taken, taken, and so on.
    """

    high_watermark: int
    low_watermark: int
    runs: list[Annotated[int, msgspec.Meta(ge=0)]]


def window_to_json(window: OverlapWindow, max_bytes: int = 0) -> dict[str, Any]:
    """Return the window as plain JSON types, since Airflow rejects tuples.

    :param max_bytes: maximum size; 0: no limit. A larger window is stored without its lowest ids. Its low watermark
        stays, so its reader takes these ids again and misses none.
    """
    ids = window.ids
    while True:
        stored = _StoredWindow(
            high_watermark=window.high_watermark,
            low_watermark=window.low_watermark,
            runs=_runs(ids, window.low_watermark),
        )
        value: dict[str, Any] = msgspec.to_builtins(stored)
        if not ids or not max_bytes or len(json.dumps(value)) <= max_bytes:
            return value
        ids = ids[len(ids) // 10 + 1 :]


def _runs(ids: Iterable[int], start: int) -> list[int]:
    """Encode ascending ids above ``start`` as lengths of runs."""
    runs: list[int] = []
    for number in ids:
        gap = number - start - 1
        if gap or not runs:
            runs += [gap, 0]
        runs[-1] += 1
        start = number
    return runs


def _ids(runs: Iterable[int], start: int) -> Iterator[int]:
    """Decode lengths of runs; the inverse of :func:`_runs`."""
    for is_taken, length in zip(cycle((False, True)), runs, strict=False):
        if is_taken:
            yield from range(start + 1, start + 1 + length)
        start += length


def window_from_json(stored: object) -> OverlapWindow:
    """Parse a stored window.

    :param stored: a window as :func:`window_to_json` returns it, or the id of a conversion, after which all conversions
        are new.
    :return: the window.
    :raises InvalidRequestError: if it is neither.
    """
    if not isinstance(stored, dict):
        high_watermark = as_id(stored, "the watermark in the asset's state store") if stored != 0 else 0
        return OverlapWindow(high_watermark=high_watermark, low_watermark=high_watermark)
    try:
        window = msgspec.convert(stored, _StoredWindow)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"the watermark in the asset's state store is not valid: {error}") from error
    return OverlapWindow(
        high_watermark=window.high_watermark,
        low_watermark=window.low_watermark,
        ids=tuple(_ids(window.runs, window.low_watermark)),
    )
