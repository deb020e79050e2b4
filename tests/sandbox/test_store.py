from __future__ import annotations

import time
from itertools import pairwise

import pytest

from airflow_provider_leadconv.sandbox.store import ConversionRefusedError, Store


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_same_seed_gives_the_same_account():
    one, other = (Store(leads=50, conversions=500, seed=7) for _ in range(2))
    assert one.conversions == other.conversions
    assert one.leads == other.leads
    assert Store(conversions=500, seed=8).conversions != one.conversions


def test_generated_conversions_have_the_quirks_of_real_ones():
    rows = Store(conversions=2_000).conversions
    ids = [row.id for row in rows]
    assert ids == sorted(set(ids), reverse=True)
    assert ids[0] - ids[-1] > len(ids)
    assert len({row.lead_id for row in rows}) == 2_000
    assert min(row.lead_id for row in rows) > 2**31
    assert any(newer.created_at < older.created_at for newer, older in pairwise(rows))
    for field in ("individual_id", "organization_id", "deal_id", "creator_id"):
        assert {getattr(row, field) is None for row in rows} == {True, False}
    assert all(row.individual_id or row.organization_id for row in rows)


@pytest.mark.slow
def test_a_million_conversions_start_within_ten_seconds():
    begun = time.perf_counter()
    store = Store(conversions=1_000_000)
    assert time.perf_counter() - begun < 10
    row = store.find({}, below=1_000_000, limit=1)[0]
    assert store.find({"individual_id": 5}) == []
    assert store.find({"lead_id": row.lead_id}) == [row]


def test_filters_are_combined():
    store = Store(conversions=1_000)
    row = next(row for row in store.conversions if row.deal_id and row.creator_id)
    assert store.find({"deal_id": row.deal_id, "creator_id": row.creator_id}) == [row]
    assert store.find({"deal_id": row.deal_id, "lead_id": row.lead_id + 10_000_000}) == []
    by_creator = [r for r in store.conversions if r.creator_id == row.creator_id]
    assert store.find({"creator_id": row.creator_id}, offset=3, limit=5) == by_creator[3:8]


def test_late_conversion_and_lagging_look_up_appear_after_their_delay():
    clock = Clock()
    store = Store(leads=3, clock=clock)
    first, second, third = store.leads
    hidden = store.convert(first, visible_after=5)
    lagging = store.convert(second, lookup_after=5)
    shown = store.convert(third)
    assert store.find({}) == [shown, lagging]
    assert store.find({"lead_id": first}) == store.find({"lead_id": second}) == []
    assert store.conversions == [shown, lagging, hidden]
    clock.now += 5
    assert store.find({}) == [shown, lagging, hidden]
    assert store.find({"lead_id": second}) == [lagging]


def test_late_commit_happens_unless_the_lead_is_converted_by_then():
    clock = Clock()
    store = Store(leads=2, clock=clock)
    first, second = store.leads
    store.convert_later(5, first)
    store.convert_later(5, second)
    assert store.conversions == []
    store.convert(second)
    clock.now += 5
    assert store.conversion_counts == {first: 1, second: 1}


def test_removed_conversion_is_not_listed_but_its_lead_stays_converted():
    store = Store(leads=1)
    (lead,) = store.leads
    store.remove_conversion(store.convert(lead).id)
    assert store.find({}) == store.find({"lead_id": lead}) == []
    assert store.conversion_counts == {lead: 1}
    assert store.leads == []
    with pytest.raises(ConversionRefusedError):
        store.convert(lead)
    with pytest.raises(KeyError):
        store.remove_conversion(1)
