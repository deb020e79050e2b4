"""The markers that need no store."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.bulk.sending_marker import AnyMarker, ConstantMarker
from tests.support.bulk_memory import MemoryMarker


@pytest.mark.parametrize("is_set", [True, False])
def test_a_constant_marker_stays_as_it_is(is_set: bool):
    marker = ConstantMarker(is_set=is_set)
    marker.set()
    marker.clear()
    assert marker.is_set() is is_set


@pytest.mark.parametrize(("first", "second"), [(True, False), (False, True), (True, True), (False, False)])
def test_several_markers_are_set_if_one_is(first: bool, second: bool):
    assert AnyMarker(ConstantMarker(is_set=first), ConstantMarker(is_set=second)).is_set() is (first or second)


def test_several_markers_are_set_and_cleared_together():
    markers = MemoryMarker(), MemoryMarker()
    both = AnyMarker(*markers)
    both.set()
    assert [marker.is_set() for marker in markers] == [True, True]
    both.clear()
    assert [marker.is_set() for marker in markers] == [False, False]
