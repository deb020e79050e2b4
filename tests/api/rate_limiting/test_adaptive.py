"""The adaptive rate of several who share it: what bounds whom, and when it grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.rate_limiting.adaptive import MAX_BOUNDS, AdaptiveRate


def permits(rate: AdaptiveRate, now: float, *max_rates: float, seconds: float) -> dict[float, list[float]]:
    """The permits of callers that reserve the next one as soon as the time of theirs has come."""
    taken: dict[float, list[float]] = {max_rate: [] for max_rate in max_rates}
    due = dict.fromkeys(max_rates, now)
    while (current := min(due.values())) < now + seconds:
        max_rate = min(due, key=due.__getitem__)
        due[max_rate] = max(current, rate.reserve(current, max_rate))
        taken[max_rate].append(due[max_rate])
    return taken


def test_permits_go_to_callers_in_turn():
    rate = AdaptiveRate(10.0)
    assert [rate.reserve(0.0, 10.0) for _ in range(4)] == pytest.approx([0.0, 0.1, 0.2, 0.3])


def test_the_lower_maximum_bounds_its_own_permits_and_the_higher_one_the_sum():
    taken = permits(AdaptiveRate(10.0), 0.0, 2.0, 10.0, seconds=20.0)
    assert len(taken[2.0]) == pytest.approx(40, abs=2)
    assert 190 <= len(taken[2.0]) + len(taken[10.0]) <= 202


def test_all_with_the_same_maximum_share_it():
    rate = AdaptiveRate(10.0)
    rate.reserve(0.0, 10.0)  # of another, which has a higher one
    assert [rate.reserve(0.0, 2.0) for _ in range(3)] == pytest.approx([0.1, 0.6, 1.1])


def test_a_higher_maximum_that_is_not_in_use_any_more_does_not_count():
    rate = AdaptiveRate(10.0)
    rate.reserve(0.0, 10.0)
    first, second = rate.reserve(60.0, 2.0), rate.reserve(60.0, 2.0)
    assert (first, second) == (60.0, 60.5)
    assert rate.rate == 10.0, "it is what the server allowed"


def test_waiting_for_the_own_maximum_does_not_raise_the_rate_of_all():
    rate = AdaptiveRate(5.0)
    rate.reserve(0.0, 10.0)
    rate.reserve(0.5, 1.0)
    for second in range(1, 9):
        rate.reserve(float(second), 1.0, has_waited=True)
    assert rate.rate == 5.0


def test_the_rate_grows_while_permits_are_in_full_use():
    rate = AdaptiveRate(1.0)
    rate.reserve(0.0, 10.0)
    assert rate.rate == 1.0
    rate.reserve(0.0, 10.0)
    assert rate.rate == 2.0


def test_a_burst_of_rejections_cuts_once_though_permits_were_reserved_ahead():
    rate = AdaptiveRate(10.0)
    reserved = [rate.reserve(0.0, 10.0) for _ in range(16)]
    for sent_at in reserved[:-1]:
        rate.cut(sent_at + 0.05, 10.0, sent_at)
    assert rate.rate == pytest.approx(9.2)
    later = rate.reserve(reserved[-1], 10.0)
    rate.cut(later + 0.05, 10.0, later)
    assert rate.rate == pytest.approx(8.3, abs=0.1)


def test_a_cut_begins_at_the_rate_in_use():
    rate = AdaptiveRate(10.0)
    rate.reserve(0.0, 2.0)
    rate.cut(0.1, 2.0, 0.0)
    assert rate.rate == pytest.approx(1.84, abs=0.01)


def test_more_maxima_than_are_told_apart():
    rate = AdaptiveRate(10.0)
    for number in range(3 * MAX_BOUNDS):
        rate.reserve(number / 100, 10.0 + number)
    assert len(rate.bounds) == MAX_BOUNDS


@given(
    st.lists(st.tuples(st.sampled_from([1.0, 4.0, 10.0]), st.floats(0.0, 2.0), st.booleans()), max_size=100),
)
def test_no_more_permits_than_each_maximum_allows(calls: list[tuple[float, float, bool]]) -> None:
    rate, now = AdaptiveRate(10.0), 0.0
    taken: dict[float, list[float]] = {}
    for max_rate, seconds, is_rejected in calls:
        now += seconds
        permit = max(now, rate.reserve(now, max_rate))
        taken.setdefault(max_rate, []).append(permit)
        if is_rejected:
            rate.cut(now, max_rate, now)
    for max_rate, times in taken.items():
        for number, time in enumerate(times[1:], 1):
            assert time - times[0] >= (number - 0.5) / max_rate - 1e-9
