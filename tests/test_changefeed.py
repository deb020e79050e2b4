"""The reader of the changefeed alone: what a walk takes, and the window that it leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_leadconv import changefeed
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.changefeed import (
    OVERLAP_ROWS,
    OVERLAP_TIME,
    ChangefeedReader,
    OverlapWindow,
    SettledWatermark,
)
from tests.support.endpoint import EPOCH
from tests.support.growing_endpoint import GROWTH, GrowingEndpoint
from tests.support.growing_endpoint import OVERLAP_ROWS as SMALL_WINDOW


def row(number: int, *, seconds: float = 60.0, created_at: object = None) -> LeadConversion:
    """A conversion; so many seconds pass from one id to the next."""
    moment = (EPOCH + timedelta(seconds=seconds * number)).isoformat() if created_at is None else created_at
    return LeadConversion(id=number, lead_id=number, created_at_raw=moment)


def rows(high: int, low: int = 1, **options: float) -> list[LeadConversion]:
    return [row(number, **options) for number in range(high, low - 1, -1)]


def ids(taken: list[LeadConversion]) -> list[int]:
    return [each.id for each in taken]


def test_the_first_walk_takes_everything():
    reader = ChangefeedReader()
    assert ids(reader.take(rows(10))) == list(range(10, 0, -1))
    assert not reader.finished
    assert reader.window() == OverlapWindow(high_watermark=10, low_watermark=0, ids=tuple(range(1, 11)))


def test_the_next_walk_takes_new_and_late_rows_and_ends_at_the_low_watermark():
    first = ChangefeedReader()
    first.take([each for each in rows(1000) if each.id != 900])
    window = first.window()
    assert (window.high_watermark, len(window.ids)) == (1000, OVERLAP_ROWS + 1)
    second = ChangefeedReader(window)
    assert ids(second.take(rows(1003, 804))) == [1003, 1002, 1001, 900]
    assert not second.finished
    assert second.take(rows(803, 700)) == []
    assert second.finished


def test_a_walk_without_rows_leaves_the_last_window():
    window = OverlapWindow(high_watermark=9, low_watermark=7, ids=(8, 9))
    assert ChangefeedReader(window).window() is window


def test_the_high_watermark_never_falls():
    reader = ChangefeedReader(OverlapWindow(high_watermark=9, low_watermark=7, ids=(8, 9)))
    reader.take([row(8)])
    assert reader.window() == OverlapWindow(high_watermark=9, low_watermark=7, ids=(8,))


def test_the_window_has_all_rows_of_the_last_15_minutes():
    reader = ChangefeedReader()
    reader.take(rows(2000, seconds=1.0))
    window = reader.window()
    minutes = OVERLAP_TIME.total_seconds()
    assert minutes == 15 * 60
    assert (window.ids[0], window.ids[-1]) == (2000 - minutes, 2000)
    late = ChangefeedReader(window)
    assert window.low_watermark < 1200
    assert ids(late.take([row(2001, seconds=1.0)])) == [2001]


@pytest.mark.parametrize("overlap_time", [timedelta(0), timedelta(seconds=500)])
def test_another_overlap_time_makes_another_window(overlap_time: timedelta):
    reader = ChangefeedReader(overlap_time=overlap_time)
    reader.take(rows(2000, seconds=1.0))
    assert len(reader.window().ids) == max(OVERLAP_ROWS, overlap_time.total_seconds()) + 1


def test_the_window_has_200_rows_however_old_they_are():
    reader = ChangefeedReader()
    reader.take(rows(2000, seconds=86400.0))
    assert len(reader.window().ids) == OVERLAP_ROWS + 1


@pytest.mark.parametrize("created_at", ["soon", "", 5, [], "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("number", [2000, 1500, 1200])
def test_an_unreadable_created_at_counts_as_old(created_at: object, number: int):
    reader = ChangefeedReader()
    walk = rows(2000, seconds=1.0)
    walk[2000 - number] = row(number, created_at=created_at)
    assert len(reader.take(walk)) == 2000
    newest = 1999 if number == 2000 else 2000
    assert reader.window().ids == tuple(range(newest - 15 * 60, 2001))


def test_a_walk_is_settled_a_page_below_its_window():
    reader = ChangefeedReader()
    reader.take(rows(1000, 1000 - 2 * OVERLAP_ROWS))
    assert not reader.window_is_final
    reader.take([row(1000 - 2 * OVERLAP_ROWS - 1)])
    assert reader.window_is_final
    window = reader.window()
    assert ids(reader.take(rows(500))) == list(range(500, 0, -1))
    assert reader.window() == window


@given(growths=st.lists(GROWTH, min_size=1, max_size=10), per_page=st.integers(1, 7))
def test_walks_take_every_id_once_in_whatever_order_ids_become_visible(growths: list[list[bool]], per_page: int):
    endpoint, window = GrowingEndpoint(), OverlapWindow()
    taken: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changefeed, "OVERLAP_ROWS", SMALL_WINDOW)
        patch.setattr(changefeed, "OVERLAP_TIME", timedelta(0))
        for growth in growths:
            endpoint.grow(growth)
            reader, visible = ChangefeedReader(window), endpoint.ids[::-1]
            for start in range(0, len(visible), per_page):
                taken += ids(reader.take([row(number) for number in visible[start : start + per_page]]))
                if reader.finished:
                    break
            window = reader.window()
            assert len(window.ids) <= SMALL_WINDOW + 1 + (window.low_watermark == 0) * len(visible)
    assert sorted(taken) == endpoint.ids


STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 1.0, 86400.0]),  # seconds without conversions
        st.lists(st.sampled_from([0.0, 0.0, 0.0, 30.0, 60.0]), max_size=15),  # seconds until each becomes visible
    ),
    min_size=1,
    max_size=8,
)


@example(steps=[(0.0, [0.0, 0.0]), (86400.0, [30.0, *[0.0] * 8])], per_page=1, unreadable={1, 4})
@given(steps=STEPS, per_page=st.integers(1, 7), unreadable=st.sets(st.integers(1, 60), max_size=3))
def test_walks_take_every_id_once_at_any_rate_if_it_becomes_visible_within_the_overlap_time(
    steps: list[tuple[float, list[float]]], per_page: int, unreadable: set[int]
):
    """Bursts of ten conversions a second, after none for a second or a day; the walks are right after a burst."""
    now, window, made, taken = 0.0, OverlapWindow(), dict[int, tuple[float, float]](), list[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changefeed, "OVERLAP_ROWS", SMALL_WINDOW)
        for gap, burst in [*steps, (86400.0, [])]:
            now += gap
            for lateness in burst:
                now += 0.1
                made[len(made) + 1] = (now, now + lateness)
            visible = [number for number, (_, at) in reversed(made.items()) if at <= now]
            reader = ChangefeedReader(window, overlap_time=timedelta(seconds=60))
            for start in range(0, len(visible), per_page):
                page = [
                    row(
                        number,
                        created_at="" if number in unreadable else str(EPOCH + timedelta(seconds=made[number][0])),
                    )
                    for number in visible[start : start + per_page]
                ]
                taken += ids(reader.take(page))
                if reader.finished:
                    break
            window = reader.window()
    assert sorted(taken) == list(made)


def test_an_id_is_settled_when_a_read_starts_settle_time_after_it_was_seen():
    settled = SettledWatermark(5)
    assert settled.for_read(0.0, 30.0) == 5
    settled.note_seen(9, at=1.0)
    settled.note_seen(7, at=2.0)  # a late id does not lower it
    settled.note_seen(12, at=10.0)
    assert [settled.for_read(at, 30.0) for at in (30.9, 31.0, 39.9, 40.0, 1000.0)] == [5, 9, 9, 12, 12]
    settled.note_seen(11, at=1001.0)
    assert settled.for_read(2000.0, 30.0) == 12
