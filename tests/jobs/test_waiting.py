"""Who is served by a reading of the log, and what it costs, without any I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.api.wire import ListQuery
from airflow_provider_leadconv.jobs.feed import Window
from airflow_provider_leadconv.jobs.news import MAX_PORTION, portions, read_window, starting_now
from airflow_provider_leadconv.jobs.waiting import Waiting, Watch, read_lead_ids
from jobs.conversion_log import ConversionLog, others


def serve(log: ConversionLog, waiting: Waiting) -> None:
    """Read the log, then look up who is left."""
    reading = waiting.read_log()
    try:
        query = next(reading)
        while True:
            query = reading.send(log.get_page(query))
    except StopIteration:
        pass
    for lead_id in waiting.unchecked:
        waiting.looked_up(lead_id, log.find(ListQuery(lead_id=lead_id)))


def wait_for(log: ConversionLog, *lead_ids: int, mark: int = 0) -> tuple[Waiting, Watch]:
    waiting, watch = Waiting(), Watch(lead_ids, mark=mark)
    waiting.add(watch)
    serve(log, waiting)
    log.requests = 0
    return waiting, watch


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 300), st.lists(st.integers(1, 12), max_size=4), st.booleans()), min_size=1, max_size=8
    )
)
def test_whatever_is_converted_when_is_found(steps: list[tuple[int, list[int], bool]]) -> None:
    """Watches join at any time with a mark of that time, or none; after each round nobody waits for what is there."""
    log, waiting = ConversionLog(), Waiting()
    watches: list[Watch] = []
    for number, lead_ids, looked_up in steps:
        mark = log.rows[0].id if log.rows and looked_up else 0
        there = {row.lead_id for row in log.rows}
        wanted = [lead_id for lead_id in lead_ids if not (mark and lead_id in there)]
        watches.append(Watch(wanted, mark=mark))
        waiting.add(watches[-1])
        log.convert(*others(number), *[lead_id for lead_id in lead_ids if lead_id % 2])
        serve(log, waiting)
        converted = {row.lead_id for row in log.rows}
        for watch in watches:
            assert set(watch.pending).isdisjoint(converted)


def test_a_quiet_round_is_one_request() -> None:
    log = ConversionLog()
    log.convert(*others(1000))
    waiting, _ = wait_for(log, *range(1, 101))
    for _ in range(3):
        log.convert(*others(20))
        serve(log, waiting)
    assert log.requests == 3


@pytest.mark.parametrize("new", [100, 300, 1000, 5000])
def test_a_round_costs_the_cheaper_of_pages_and_look_ups(new: int) -> None:
    for leads in (2, 10, 100):
        log = ConversionLog()
        log.convert(*others(1000))
        waiting, _ = wait_for(log, *range(1, leads + 1))
        log.convert(*others(new))
        serve(log, waiting)
        assert log.requests <= 1 + min(leads, -(-new // 200))


def test_a_reading_that_breaks_moves_nothing() -> None:
    log = ConversionLog()
    log.convert(*others(1000))
    waiting, watch = wait_for(log, *range(1, 50))
    mark = waiting.mark
    log.convert(1, *others(500))
    reading = waiting.read_log()
    reading.send(log.get_page(next(reading)))
    reading.close()
    assert waiting.mark == mark
    serve(log, waiting)
    assert 1 in watch.found


def test_who_leaves_is_not_looked_up() -> None:
    log = ConversionLog()
    log.convert(*others(1000))
    waiting = Waiting()
    stays, leaves = Watch([1, 2]), Watch([2, 3])
    waiting.add(stays)
    waiting.add(leaves)
    waiting.remove(leaves)
    serve(log, waiting)
    assert log.requests == 1 + 2
    assert waiting.longest_unseen in {1, 2}


def test_each_lead_has_its_turn() -> None:
    waiting = Waiting()
    waiting.add(Watch([1, 2, 3]))
    turns = []
    for _ in range(6):
        lead_id = waiting.longest_unseen
        assert lead_id is not None
        turns.append(lead_id)
        waiting.looked_up(lead_id, None)
    assert turns == [1, 2, 3, 1, 2, 3]


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (5, ([5], False)),
        ("5", ([5], False)),
        ([5, "6", 5], ([5, 6], True)),
        ((5,), ([5], True)),
        (" [5, 6] ", ([5, 6], True)),
        ("['5', '6']", ([5, 6], True)),
        ("[]", ([], True)),
    ],
)
def test_lead_ids_in_every_form(value: object, ids: tuple[list[int], bool]) -> None:
    assert read_lead_ids(value) == ids


@pytest.mark.parametrize("value", ["", "x", "[x]", "[1", None, True, 1.5, {"lead_id": 1}, [None], [[1]], b"1"])
def test_what_is_no_lead_id_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequestError, match="lead_id"):
        read_lead_ids(value)


@given(
    batches=st.lists(st.lists(st.integers(1, 5000), max_size=700), max_size=6),
    stop=st.integers(1, 3),
)
def test_portions_tell_everything_once_however_they_are_broken_off(batches: list[list[int]], stop: int) -> None:
    """Ids appear in any order within what was new at the last reading; only some portions of a reading are taken."""
    window, told, shift = starting_now([]), [], 0
    visible: set[int] = set()
    for batch in batches:
        visible |= {shift + number for number in batch}
        shift += 2500  # the next batch reaches half-way down into this one
        rows = [LeadConversion(id=number, lead_id=1) for number in sorted(visible, reverse=True)]
        above = [row for row in rows if row.id > window.floor]
        for count, portion in enumerate(portions(window, above), 1):
            assert len(portion.conversions) <= MAX_PORTION
            window = portion.window
            told += [row.id for row in portion.conversions]
            if count == stop:
                break
    assert len(told) == len(set(told))
    assert window.mark == max(told, default=0)


@pytest.mark.parametrize(
    ("stored", "window"),
    [
        (0, Window()),
        (7, Window(mark=7, floor=7)),
        ({"mark": 7, "floor": 3, "ids": [5, 7]}, Window(mark=7, floor=3, ids=(5, 7))),
    ],
)
def test_marks_as_people_write_them(stored: object, window: Window) -> None:
    assert read_window(stored) == window


@pytest.mark.parametrize("stored", ["high", -1, {"mark": "high"}, None, True])
def test_other_marks_are_refused(stored: object) -> None:
    with pytest.raises(InvalidRequestError, match="mark"):
        read_window(stored)
