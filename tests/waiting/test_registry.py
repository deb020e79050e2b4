"""Who is served by a reading of the endpoint, and what it costs, without any I/O."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.waiting.registry import AwaitedLeads, WaitRegistry
from tests.support.endpoint import Endpoint, conversion, other_leads


def serve(endpoint: Endpoint, waiting: WaitRegistry) -> None:
    """Read the changefeed, then look up the unchecked leads."""
    reading = waiting.read_changefeed()
    try:
        query = next(reading)
        while True:
            query = reading.send(endpoint.get_page(query))
    except StopIteration:
        pass
    for lead_id in waiting.unchecked:
        waiting.note_lookup(lead_id, endpoint.find(ListQuery(lead_id=lead_id)))


def wait_for(endpoint: Endpoint, *lead_ids: int, watermark: int = 0) -> tuple[WaitRegistry, AwaitedLeads]:
    waiting, watch = WaitRegistry(), AwaitedLeads(lead_ids, start_watermark=watermark)
    waiting.add(watch)
    serve(endpoint, waiting)
    endpoint.requests.clear()
    return waiting, watch


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 300), st.lists(st.integers(1, 12), max_size=4), st.booleans()), min_size=1, max_size=8
    )
)
def test_every_conversion_is_found_whenever_it_is_made(steps: list[tuple[int, list[int], bool]]) -> None:
    """Watches join at any time, with a watermark of that time or none; after a round no converted lead is pending."""
    endpoint, waiting = Endpoint(), WaitRegistry()
    watches: list[AwaitedLeads] = []
    for number, lead_ids, looked_up in steps:
        watermark = endpoint.newest_id if looked_up else 0
        there = endpoint.converted_leads
        wanted = [lead_id for lead_id in lead_ids if not (watermark and lead_id in there)]
        watches.append(AwaitedLeads(wanted, start_watermark=watermark))
        waiting.add(watches[-1])
        endpoint.convert(*other_leads(number), *[lead_id for lead_id in lead_ids if lead_id % 2])
        serve(endpoint, waiting)
        converted = endpoint.converted_leads
        for watch in watches:
            assert set(watch.pending).isdisjoint(converted)


def test_a_quiet_round_is_one_request() -> None:
    endpoint = Endpoint()
    endpoint.convert(*other_leads(1000))
    waiting, _ = wait_for(endpoint, *range(1, 101))
    for _ in range(3):
        endpoint.convert(*other_leads(20))
        serve(endpoint, waiting)
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("new", [100, 300, 1000, 5000])
def test_a_round_costs_the_cheaper_of_pages_and_look_ups(new: int) -> None:
    for leads in (2, 10, 100):
        endpoint = Endpoint()
        endpoint.convert(*other_leads(1000))
        waiting, _ = wait_for(endpoint, *range(1, leads + 1))
        endpoint.convert(*other_leads(new))
        serve(endpoint, waiting)
        assert len(endpoint.requests) <= 1 + min(leads, -(-new // 200))


def test_a_failed_reading_moves_no_watermark() -> None:
    endpoint = Endpoint()
    endpoint.convert(*other_leads(1000))
    waiting, watch = wait_for(endpoint, *range(1, 50))
    watermark = waiting.high_watermark
    endpoint.convert(1, *other_leads(500))
    reading = waiting.read_changefeed()
    reading.send(endpoint.get_page(next(reading)))
    reading.close()
    assert waiting.high_watermark == watermark
    serve(endpoint, waiting)
    assert 1 in watch.found


def test_removed_leads_are_not_looked_up() -> None:
    endpoint = Endpoint()
    endpoint.convert(*other_leads(1000))
    waiting = WaitRegistry()
    stays, leaves = AwaitedLeads([1, 2]), AwaitedLeads([2, 3])
    waiting.add(stays)
    waiting.add(leaves)
    waiting.remove(leaves)
    serve(endpoint, waiting)
    assert len(endpoint.requests) == 1 + 2
    assert waiting.least_recently_looked_up in {1, 2}


def test_leads_are_looked_up_in_turn() -> None:
    waiting = WaitRegistry()
    waiting.add(AwaitedLeads([1, 2, 3]))
    turns = []
    for _ in range(6):
        lead_id = waiting.least_recently_looked_up
        assert lead_id is not None
        turns.append(lead_id)
        waiting.note_lookup(lead_id, None)
    assert turns == [1, 2, 3, 1, 2, 3]


def test_the_changefeed_is_read_as_far_back_as_pages_are_cheaper_than_look_ups() -> None:
    """The example of the docstring of ``WaitRegistry._cheapest_depth``."""
    endpoint = Endpoint(conversion(number) for number in range(7001, 10_001))
    waiting = WaitRegistry()
    a, b = AwaitedLeads([1, 2, 3], start_watermark=9500), AwaitedLeads([4, 5, 6, 7, 8], start_watermark=8000)
    waiting.add(a)
    waiting.add(b)
    reading = waiting.read_changefeed()
    pages = []
    with suppress(StopIteration):
        query = next(reading)
        while True:
            pages.append(endpoint.get_page(query))
            query = reading.send(pages[-1])
    newest, *older = pages
    assert (newest.conversions[0].id, newest.conversions[-1].id) == (10_000, 9801)
    assert len(older) == 2
    assert older[-1].conversions[-1].id <= 9501 < older[0].conversions[-1].id
    assert waiting.unchecked == [4, 5, 6, 7, 8]
    assert len(older) + len(waiting.unchecked) == 7
