"""New conversions in batches, and the window that remembers them."""

from __future__ import annotations

import json
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.changefeed import POLL_OVERLAP_ROWS, OverlapWindow
from airflow_provider_leadconv.waiting.event_batches import (
    MAX_EVENT_ROWS,
    event_batches,
    window_from_json,
    window_from_now,
    window_to_json,
)


@given(
    batches=st.lists(st.lists(st.integers(1, 5000), max_size=700), max_size=6),
    stop=st.integers(1, 3),
)
def test_batches_have_every_conversion_once_wherever_a_reading_is_interrupted(
    batches: list[list[int]], stop: int
) -> None:
    """Ids appear in any order above what is settled; only some batches of a reading are taken."""
    window, emitted, settled = window_from_now([]), [], 0
    visible: set[int] = set()
    for numbers in [*batches, *[[]] * 20]:
        visible |= {settled + number for number in numbers}
        settled += 2500  # the next batch reaches half-way down into this one
        above = [number for number in visible - set(window.ids) if number > window.low_watermark]
        rows = [LeadConversion(id=number, lead_id=1) for number in sorted(above, reverse=True)]
        for count, batch in enumerate(event_batches(window, rows, settled), 1):
            assert len(batch.conversions) <= MAX_EVENT_ROWS
            window = batch.window
            emitted += [row.id for row in batch.conversions]
            if count == stop:
                break
    assert sorted(emitted) == sorted(visible)
    assert window.high_watermark == max(emitted, default=0)
    assert len(window.ids) <= POLL_OVERLAP_ROWS


def test_the_window_of_a_poll_has_every_row_that_is_not_settled() -> None:
    rows = [LeadConversion(id=number, lead_id=1) for number in range(1000, 0, -1)]
    *_, last = event_batches(window_from_now([]), rows, 600)
    assert last.window == OverlapWindow(high_watermark=1000, low_watermark=500, ids=tuple(range(501, 1001)))


def test_a_poll_that_could_not_take_all_rows_does_not_settle_what_it_left() -> None:
    """More rows became visible late than a poll takes; the window has higher ids already."""
    window = OverlapWindow(high_watermark=9000, ids=tuple(range(8001, 9001)))
    rows = [LeadConversion(id=number, lead_id=1) for number in range(3000, 0, -1)]
    *_, last = event_batches(window, rows, 8500)
    assert last.window.low_watermark < 3001


WINDOWS = st.builds(
    lambda low, gaps: OverlapWindow(
        high_watermark=low + sum(gaps), low_watermark=low, ids=tuple(accumulate(gaps, initial=low))[1:]
    ),
    st.integers(0, 2**62),
    st.lists(st.one_of(st.just(1), st.integers(1, 10_000)), max_size=300),
)


@given(window=WINDOWS)
def test_a_window_is_read_as_it_was_written(window: OverlapWindow) -> None:
    assert window_from_json(json.loads(json.dumps(window_to_json(window)))) == window


@given(window=WINDOWS, max_bytes=st.integers(200, 1000))
def test_a_window_that_is_too_large_forgets_its_lowest_ids_and_no_watermark(
    window: OverlapWindow, max_bytes: int
) -> None:
    value = window_to_json(window, max_bytes)
    stored = window_from_json(value)
    assert len(json.dumps(value)) <= max_bytes
    assert (stored.high_watermark, stored.low_watermark) == (window.high_watermark, window.low_watermark)
    assert stored.ids == window.ids[len(window.ids) - len(stored.ids) :]
    assert (stored == window) == (len(json.dumps(window_to_json(window))) <= max_bytes)


def test_ids_are_stored_as_ranges() -> None:
    dense = OverlapWindow(high_watermark=50_000, low_watermark=10_000, ids=tuple(range(10_001, 50_001)))
    assert window_to_json(dense) == {"high_watermark": 50_000, "low_watermark": 10_000, "runs": [0, 40_000]}
    sparse = OverlapWindow(high_watermark=900_000, ids=tuple(range(50, 450_050, 50)))  # 300 a second for 30 s
    assert len(json.dumps(window_to_json(sparse))) < 65_535


@pytest.mark.parametrize(
    ("stored", "window"),
    [
        (0, OverlapWindow()),
        (7, OverlapWindow(high_watermark=7, low_watermark=7)),
        (
            {"high_watermark": 7, "low_watermark": 3, "runs": [1, 1, 1, 1]},
            OverlapWindow(high_watermark=7, low_watermark=3, ids=(5, 7)),
        ),
    ],
)
def test_a_watermark_written_by_hand_is_read(stored: object, window: OverlapWindow) -> None:
    assert window_from_json(stored) == window


NEGATIVE_RUN = {"high_watermark": 7, "low_watermark": 3, "runs": [-1, 1]}


@pytest.mark.parametrize("stored", ["high", -1, {"high_watermark": "high"}, {"watermark": 7}, NEGATIVE_RUN, None, True])
def test_an_invalid_watermark_is_refused(stored: object) -> None:
    with pytest.raises(InvalidRequestError, match="watermark"):
        window_from_json(stored)
