from __future__ import annotations

import pytest

from airflow_provider_leadconv.bulk.checking.cleared_leads import MAX_CLEARANCE_AGE, ClearedLeads
from tests.support.clock import Clock


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def cleared(clock):
    return ClearedLeads(clock)


def test_leads_come_in_the_order_in_which_they_were_cleared(cleared):
    cleared.add([3, 1], 0.0)
    cleared.add([2], 1.0)
    assert len(cleared) == 3
    assert [cleared.pop() for _ in range(3)] == [(3, 0.0), (1, 0.0), (2, 1.0)]


def test_leads_that_got_a_result_meanwhile_are_dropped(cleared):
    cleared.add([3, 1, 2], 0.0)
    cleared.drop_all_but({2})
    assert cleared.pop() == (2, 0.0)


def test_a_clearance_has_a_maximum_age(cleared, clock):
    assert not cleared.is_stale
    cleared.add([1], clock())
    clock.now += MAX_CLEARANCE_AGE
    assert not cleared.is_stale
    clock.now += 0.1
    assert cleared.is_stale


def test_a_reading_of_the_head_clears_again(cleared, clock):
    cleared.add([1], clock())
    clock.now += 50.0
    cleared.note_head(clock())
    clock.now += MAX_CLEARANCE_AGE
    assert not cleared.is_stale
    cleared.note_head(10.0)  # an older one changes nothing
    assert not cleared.is_stale
    clock.now += 0.1
    assert cleared.is_stale
