from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.bulk.checking.walk import Walk

CONFIG = ClientConfig(token="token")


def page(newest, *, rows=200, is_last=False):
    conversions = [LeadConversion(id=newest - number, lead_id=newest - number) for number in range(rows)]
    return Page(conversions=conversions, next_cursor=None if is_last else f"after {newest}")


def walk_of(pages, **options):
    walk = Walk(CONFIG, **options)
    for number in range(pages):
        walk.take(page(100_000 - 200 * number))
    return walk


def test_the_newest_id_is_known_from_the_first_page_with_rows():
    walk = Walk(CONFIG)
    walk.take(page(0, rows=0))
    assert walk.newest_id is None
    walk.take(page(900))
    walk.take(page(700))
    assert walk.newest_id == 900


def test_an_empty_changefeed_has_the_newest_id_0():
    walk = Walk(CONFIG)
    walk.take(page(0, rows=0, is_last=True))
    assert (walk.newest_id, walk.next_query, walk.is_required) == (0, None, False)


def test_pages_are_required_until_the_overlap_window_is_covered():
    assert walk_of(1).is_required
    assert walk_of(1).window().low_watermark == 100_000 - 200
    assert not walk_of(2).is_required
    assert walk_of(2).window().low_watermark == 100_000 - 201


def test_pages_are_required_down_to_the_start_watermark_of_the_run():
    assert walk_of(4, required_id=99_100).is_required
    assert not walk_of(5, required_id=99_100).is_required
    assert walk_of(5, required_id=99_100).next_query


def test_a_walk_ends_at_its_low_watermark():
    assert walk_of(2, low_watermark=99_500).next_query
    assert walk_of(3, low_watermark=99_500).next_query is None


def test_a_walk_is_worthwhile_while_fewer_pages_were_read_than_leads_are_unchecked():
    assert walk_of(5).is_worthwhile(6, looked_up=0)
    assert not walk_of(5).is_worthwhile(5, looked_up=0)


def test_a_walk_is_not_worthwhile_if_the_look_ups_are_probably_done_before_it_ends():
    assert walk_of(5).is_worthwhile(21, looked_up=20)  # four leads are looked up while a page is read
    assert not walk_of(5).is_worthwhile(20, looked_up=20)


@pytest.mark.parametrize(
    ("unchecked", "looked_up", "number"),
    [
        (1, 0, None),  # it is the next page
        (10, 0, 13),
        (10, 6, 8),  # two leads are looked up while a page is read
        (60, 0, 50),
        (100, 0, 50),
        (101, 0, None),  # the walk is worthwhile even if it is much longer
        (200, 6, 50),
        (202, 6, None),
    ],
)
def test_a_deep_page_is_read_if_it_decides_something(unchecked, looked_up, number):
    assert walk_of(3).probe(unchecked, looked_up) == (ListQuery(page=number) if number else None)


def test_a_walk_is_not_worthwhile_if_it_is_known_to_be_long():
    walk = walk_of(3)
    walk.take_probe(ListQuery(page=50), page(50_000))
    assert not walk.is_worthwhile(100, looked_up=3)
    assert walk.is_worthwhile(200, looked_up=3)


@pytest.mark.parametrize("deep", [page(0, rows=0, is_last=True), page(50_000, is_last=True)])
def test_a_walk_is_worthwhile_if_it_is_known_to_be_short(deep):
    walk = walk_of(30)
    assert not walk.is_worthwhile(20, looked_up=30)
    walk.take_probe(ListQuery(page=50), deep)
    assert walk.is_worthwhile(20, looked_up=30)
    assert not walk.is_worthwhile(10, looked_up=30)


def test_a_deep_page_below_the_low_watermark_shows_that_the_walk_is_short():
    walk = walk_of(30, low_watermark=80_000)
    walk.take_probe(ListQuery(page=50), page(70_000))
    assert walk.is_worthwhile(20, looked_up=30)


def test_a_refused_cursor_starts_the_walk_at_the_top_without_repeating_rows():
    walk = walk_of(1)
    walk.restart(InvalidRequestError("cursor expired"))
    assert walk.next_query == ListQuery()
    assert walk.take(page(100_000)) == []
    assert len(walk.take(page(99_800))) == 200
