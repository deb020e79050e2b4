"""The limiter on a simulated clock: what it gets out of a limit, and what it must never do."""

from __future__ import annotations

import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations, pairwise
from statistics import mean, median
from threading import Barrier
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.rate_limiting.adaptive import AdaptiveRate
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter, ProcessState, StateBusyError
from airflow_provider_leadconv.sandbox.settings import FixedWindow, RateLimit, SlidingWindow, TokenBucket
from tests.support.clock import Clock
from tests.support.rate_simulation import Outage, Result, on_hosts, simulate

T = TypeVar("T")

SEEDS = range(6)


class Timetable:
    """A limit that is replaced at set times; ``None`` rejects everything.

    :param parts: seconds since the first request, and the limit from then on.
    """

    def __init__(self, *parts: tuple[float, RateLimit | None]) -> None:
        self._parts = parts
        self._started: float | None = None

    def admit(self, now: float) -> bool:
        if self._started is None:
            self._started = now
        current = [limit for since, limit in self._parts if now - self._started >= since][-1]
        return current is not None and current.admit(now)


class SometimesBusy(ProcessState):
    """A state that another process may use at the moment."""

    is_busy = False

    def update(self, now: float, change: Callable[[AdaptiveRate], T]) -> T:
        if self.is_busy:
            raise StateBusyError
        return super().update(now, change)


def take(limiter: AdaptiveRateLimiter, clock: Clock) -> float:
    """Wait for a permit as callers do.

    :return: the time of the permit.
    """
    while delay := limiter.acquire("me"):
        clock.now += delay
    return clock.now


def assert_never_above(max_rate: float, times: list[float]) -> None:
    """Any two requests are as far apart as their number in between demands, less half a permit."""
    for (first, earlier), (last, later) in combinations(enumerate(times), 2):
        assert later - earlier >= (last - first - 0.5) / max_rate * (1 - 1e-9)


def shares(run: Result, since: float, until: float) -> list[float]:
    accepted = run.accepted(since, until)
    return [count / sum(accepted) for count in accepted]


# What it gets out of a limit of 10 a second that it does not know, in five minutes


@pytest.mark.parametrize(
    ("limit", "processes", "goodput", "rejected"),
    [
        (TokenBucket, 1, 9.5, 0.01),
        (TokenBucket, 2, 9.5, 0.02),
        (TokenBucket, 4, 9.3, 0.05),
        (TokenBucket, 8, 9.3, 0.11),
        (TokenBucket, 16, 9.3, 0.25),
        (FixedWindow, 1, 9.0, 0.01),
        (FixedWindow, 2, 9.0, 0.02),
        (FixedWindow, 4, 9.0, 0.05),
        (FixedWindow, 8, 9.0, 0.11),
        (FixedWindow, 16, 9.0, 0.25),
        (SlidingWindow, 1, 8.0, 0.01),
        (SlidingWindow, 2, 8.0, 0.02),
        (SlidingWindow, 4, 8.0, 0.05),
        (SlidingWindow, 8, 8.0, 0.13),
        (SlidingWindow, 16, 8.0, 0.28),
    ],
)
def test_strangers_share_a_limit(
    limit: Callable[[float], RateLimit], processes: int, goodput: float, rejected: float
) -> None:
    runs = [simulate(limit(10.0), processes, seed=seed) for seed in SEEDS]
    assert min(run.goodput() for run in runs) >= goodput
    assert max(run.rejected() for run in runs) <= rejected
    assert mean(run.jain() for run in runs) >= 0.95
    assert min(run.jain() for run in runs) >= 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_four_processes_share_a_token_bucket(seed: int) -> None:
    run = simulate(TokenBucket(10.0), 4, seed=seed)
    assert run.goodput() >= 9.3
    assert run.rejected() <= 0.05
    assert run.jain() >= 0.95


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("processes", "rejected"), [(1, 0.03), (4, 0.15)])
def test_limit_below_the_configured_rate(processes: int, rejected: float, seed: int) -> None:
    run = simulate(TokenBucket(4.0), processes, seed=seed)
    assert run.goodput() >= 3.7
    assert run.rejected() <= rejected
    assert run.jain() >= 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_many_processes_with_a_share_each_lose_nothing(seed: int) -> None:
    run = simulate(
        TokenBucket(10.0), 16, make_limiter=lambda clock, _: AdaptiveRateLimiter(10 / 16, clock=clock), seed=seed
    )
    assert run.goodput() >= 9.5
    assert run.rejected() <= 0.01
    assert run.jain() >= 0.99


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("processes", [1, 4])
def test_limit_lowered_half_way(processes: int, seed: int) -> None:
    limit = Timetable((0.0, TokenBucket(10.0)), (150.0, TokenBucket(4.0)))
    run = simulate(limit, processes, seed=seed)
    assert run.goodput(180.0) >= 3.7
    assert run.rejected(180.0) <= 0.15


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("processes", [1, 4])
def test_limit_raised_half_way_is_used_within_a_minute(processes: int, seed: int) -> None:
    limit = Timetable((0.0, TokenBucket(4.0)), (150.0, TokenBucket(10.0)))
    assert simulate(limit, processes, seed=seed).goodput(210.0) >= 9.3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("processes", [1, 4])
def test_recovers_from_an_outage(processes: int, seed: int) -> None:
    bucket = TokenBucket(10.0)
    run = simulate(Timetable((0.0, bucket), (100.0, None), (160.0, bucket)), processes, seed=seed)
    tried = [arrival for arrival in run.arrivals if 115.0 <= arrival.at < 155.0]
    assert len(tried) <= 0.5 * 40 * processes, "it does not hammer a server that is down"
    assert run.goodput(240.0) >= 9.3


@pytest.mark.parametrize("present", [1, 3])
def test_latecomer_gets_its_share_within_two_minutes(present: int) -> None:
    starts = [0.0] * present + [100.0]
    runs = [simulate(TokenBucket(10.0), present + 1, starts=starts, duration=340.0, seed=seed) for seed in range(8)]
    late = [shares(run, 220.0, 340.0)[-1] * (present + 1) for run in runs]
    assert mean(late) == pytest.approx(1.0, abs=0.2)
    assert min(late) >= 0.5


def test_a_busy_machine_that_wakes_threads_late_does_not_lower_the_rate() -> None:
    run = simulate(TokenBucket(1000.0), 1, service=(0.01, 0.1), wake_up=0.03, starts=[0.0])
    assert run.goodput(10.0, 300.0) >= 9.8


def test_reaches_the_full_rate_in_four_seconds() -> None:
    run = simulate(TokenBucket(1000.0), 1, starts=[0.0], duration=10.0)
    assert run.goodput(4.0, 10.0) >= 9.8


def test_a_rate_ten_times_as_high_takes_no_longer() -> None:
    def make_limiter(clock: Callable[[], float], _: int) -> AdaptiveRateLimiter:
        return AdaptiveRateLimiter(100.0, clock=clock)

    run = simulate(TokenBucket(1000.0), 1, make_limiter=make_limiter, workers=64, starts=[0.0], duration=10.0)
    assert run.goodput(4.0, 10.0) >= 98.0


@pytest.mark.parametrize("workers", [2, 8, 64])
def test_waiting_threads_are_served_in_turn_and_do_not_all_wake(workers: int) -> None:
    run = simulate(TokenBucket(10.0), 1, workers=workers, service=(0.01, 0.1), duration=120.0)
    times = defaultdict(list)
    for arrival in run.arrivals:
        if arrival.at >= 20.0:
            times[arrival.worker].append(arrival.at)
    gaps = [later - earlier for each in times.values() for earlier, later in pairwise(each)]
    one_turn = workers / 10
    assert len(times) == workers
    assert median(gaps) == pytest.approx(one_turn, rel=0.05)
    assert max(gaps) <= 3 * one_turn
    assert run.acquires <= 4 * len(run.arrivals)


@pytest.mark.parametrize(("start_rate", "rate"), [(None, 1.0), (0.0, 0.2), (0.5, 0.5), (10.0, 10.0), (11.0, 10.0)])
def test_starts_at_the_start_rate_within_its_bounds(start_rate: float | None, rate: float) -> None:
    assert AdaptiveRateLimiter(10.0, start_rate=start_rate).rate == rate


# What the processes of a host get that share its state, 60 s after 30 s of warm-up, with a network of up to 100 ms

SLOW_NETWORK = {"network": (0.0, 0.1), "duration": 90.0}


@pytest.mark.parametrize(
    ("limit", "goodput", "rejected"),
    [(TokenBucket, 9.8, 0.005), (FixedWindow, 9.3, 0.005), (SlidingWindow, 8.4, 0.005)],
)
def test_sixteen_processes_of_a_host_share_a_limit(
    limit: Callable[[float], RateLimit], goodput: float, rejected: float
) -> None:
    runs = [simulate(limit(10.0), 16, make_limiter=on_hosts(16), seed=seed, **SLOW_NETWORK) for seed in SEEDS]
    assert mean(run.goodput(30.0) for run in runs) >= goodput
    assert mean(run.rejected(30.0) for run in runs) <= rejected
    assert min(run.jain(30.0) for run in runs) >= 0.98


@pytest.mark.parametrize("seed", range(3))
def test_four_hosts_of_four_processes_share_a_limit(seed: int) -> None:
    options = {**SLOW_NETWORK, "duration": 330.0}
    run = simulate(TokenBucket(10.0), 16, make_limiter=on_hosts(4), seed=seed, **options)
    assert run.goodput(30.0) >= 9.8
    assert run.rejected(30.0) <= 0.04
    served = run.accepted(30.0)
    hosts = [sum(served[first : first + 4]) for first in range(0, 16, 4)]
    assert sum(hosts) ** 2 / (4 * sum(count**2 for count in hosts)) >= 0.95


@pytest.mark.parametrize("workers", [[16, 16], [16, 1], [1, 16]])
def test_a_process_that_starts_on_a_host_has_half_of_the_permits_from_two_seconds_on(workers: list[int]) -> None:
    run = simulate(
        TokenBucket(10.0),
        2,
        make_limiter=on_hosts(2),
        workers=workers,
        starts=[0.0, 30.0],
        duration=60.0,
        service=(0.01, 0.02),
    )
    for since in range(32, 55):
        earlier, later = run.accepted(since, since + 5.0)
        assert abs(earlier - later) <= 2


def test_it_starts_at_the_rate_that_the_host_has_learned() -> None:
    clock = Clock()
    state = ProcessState(10.0)
    first = AdaptiveRateLimiter(10.0, clock=clock, state=state)
    for _ in range(50):
        take(first, clock)
    second = AdaptiveRateLimiter(10.0, clock=clock, state=state)
    take(second, clock)
    assert second.rate == first.rate == 10.0


@pytest.mark.parametrize("seed", range(3))
def test_others_go_on_when_processes_are_killed_or_stopped(seed: int) -> None:
    rng = random.Random(seed)
    killed = [Outage(process, rng.uniform(20.0, 40.0)) for process in range(6)]
    stopped = [Outage(process, since := rng.uniform(20.0, 40.0), since + 10.0) for process in range(6, 12)]
    run = simulate(TokenBucket(10.0), 16, make_limiter=on_hosts(16), outages=killed + stopped, duration=90.0, seed=seed)
    times = [arrival.at for arrival in run.arrivals if arrival.at >= 20.0]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 1.0
    assert run.goodput(60.0) >= 9.8
    assert run.rejected(60.0) <= 0.005


def test_a_process_has_one_permit_reserved_whatever_its_threads() -> None:
    clock = Clock()
    state = ProcessState(1.0)
    many = AdaptiveRateLimiter(1.0, clock=clock, state=state)
    assert [many.acquire(thread) for thread in range(16)] == list(range(16))
    assert AdaptiveRateLimiter(1.0, clock=clock, state=state).acquire() == 2.0


def test_a_permit_whose_time_is_long_past_is_not_used() -> None:
    clock = Clock()
    state = ProcessState(1.0)
    stopped, other = (AdaptiveRateLimiter(1.0, clock=clock, state=state) for _ in range(2))
    assert stopped.acquire("me") == 0.0
    assert stopped.acquire("me") == 1.0
    clock.now = 5.0
    assert other.acquire() == 0.0
    assert stopped.acquire("me") == 1.0


def test_a_state_that_is_busy_is_asked_for_again_soon_and_learns_what_was_rejected() -> None:
    clock = Clock()
    state = SometimesBusy(10.0)
    limiter = AdaptiveRateLimiter(10.0, clock=clock, state=state)
    sent_at = take(limiter, clock)
    state.is_busy = True
    limiter.throttled(sent_at)
    assert 0.0 < limiter.acquire("me") < 0.01
    assert limiter.rate == 1.0
    state.is_busy = False
    take(limiter, clock)
    assert limiter.rate == pytest.approx(0.8, abs=0.02)


# What it must never do

rates = st.sampled_from([0.05, 0.5, 2.0, 10.0, 1000.0])
steps = st.lists(
    st.tuples(st.sampled_from(["ask", "wait", "throttled", "stale"]), st.floats(0.0, 20.0)),
    min_size=1,
    max_size=150,
)


@given(rates, steps)
def test_never_above_its_maximum_in_any_schedule(max_rate: float, schedule: list[tuple[str, float]]) -> None:
    clock = Clock(1000.0)
    limiter = AdaptiveRateLimiter(max_rate, clock=clock)
    sent: list[float] = []
    for action, seconds in schedule:
        if action == "wait":
            sent.append(take(limiter, clock))
        else:
            clock.now += seconds / max_rate
        if action == "ask" and not limiter.acquire():
            sent.append(clock.now)
        if action in ("throttled", "stale") and sent:
            limiter.throttled(sent[-1] if action == "throttled" else sent[0])
        assert min(0.2, max_rate) <= limiter.rate <= max_rate
    assert_never_above(max_rate, sent)


@given(rates, st.integers(0, 200), st.integers(1, 20))
def test_a_wait_is_bounded_however_often_it_was_cut(max_rate: float, cuts: int, waiting: int) -> None:
    clock = Clock()
    limiter = AdaptiveRateLimiter(max_rate, clock=clock)
    for _ in range(cuts):
        clock.now += 0.001
        limiter.throttled(clock.now)
    assert limiter.acquire() == 0.0
    slowest = max(5.0, 1 / max_rate)
    waits = [limiter.acquire() for _ in range(waiting)]
    assert all(0.0 < wait <= (place + 1) * slowest * (1 + 1e-9) for place, wait in enumerate(waits))


def test_waiting_callers_reserve_different_permits() -> None:
    clock = Clock()
    limiter = AdaptiveRateLimiter(1.0, clock=clock)
    assert [limiter.acquire() for _ in range(4)] == [0.0, 1.0, 2.0, 3.0]


def test_an_unclaimed_permit_goes_to_the_next_caller() -> None:
    clock = Clock()
    limiter = AdaptiveRateLimiter(1.0, clock=clock)
    assert [limiter.acquire(), limiter.acquire()] == [0.0, 1.0]
    clock.now = 1.5
    assert limiter.acquire() == 0.0


def test_oversleeping_is_made_up_for_below_the_maximum() -> None:
    clock = Clock()
    limiter = AdaptiveRateLimiter(10.0, clock=clock)
    limiter.acquire()
    assert limiter.acquire("me") == 1.0
    clock.now = 1.1
    assert limiter.acquire("me") == 0.0
    assert limiter.rate == 2.0
    assert limiter.acquire("me") == pytest.approx(0.4)


def test_no_burst_after_idling() -> None:
    clock = Clock()
    limiter = AdaptiveRateLimiter(10.0, clock=clock)
    for _ in range(100):
        take(limiter, clock)
    limiter.acquire()
    clock.now += 3600.0
    times = [take(limiter, clock) for _ in range(20)]
    assert_never_above(10.0, times)


def test_the_rate_grows_only_if_callers_wait() -> None:
    clock = Clock()
    limiter = AdaptiveRateLimiter(10.0, clock=clock)
    for _ in range(100):
        assert limiter.acquire() == 0.0
        clock.now += 1.5
    assert limiter.rate == 1.0


def test_a_rejection_cuts_once_for_all_that_was_on_its_way() -> None:
    clock = Clock()
    limiter = AdaptiveRateLimiter(10.0, clock=clock)
    sent = [take(limiter, clock) for _ in range(30)]
    assert limiter.rate == 10.0
    clock.now += 0.05
    for sent_at in sent[-5:]:
        limiter.throttled(sent_at)
    assert limiter.rate == pytest.approx(9.2)
    limiter.throttled(take(limiter, clock))
    assert limiter.rate == pytest.approx(8.3, abs=0.1)


@pytest.mark.parametrize("max_rate", [0.0, -1.0, float("nan")])
def test_a_rate_must_be_above_zero(max_rate: float) -> None:
    with pytest.raises(ValueError, match="max_rate must be above 0"):
        AdaptiveRateLimiter(max_rate)


@pytest.fixture
def _eager_thread_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_eager_thread_switches")
def test_one_permit_goes_to_one_thread() -> None:
    clock = Clock()

    def yielding_clock() -> float:
        now = clock.now
        time.sleep(0)  # lets another thread run in the middle of `ask`
        return now

    limiter = AdaptiveRateLimiter(1.0, clock=yielding_clock)
    threads = 8
    together = Barrier(threads)

    def ask(_: int) -> float:
        together.wait()
        return limiter.acquire()

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(200):
            responses = list(pool.map(ask, range(threads)))
            first, *others = sorted(responses)
            assert first == 0.0 < others[0]
            assert [later - earlier for earlier, later in pairwise(others)] == [1.0] * (threads - 2)
            clock.now += threads
