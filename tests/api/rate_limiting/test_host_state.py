from __future__ import annotations

import logging
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.rate_limiting.adaptive import MAX_BOUNDS, AdaptiveRate
from airflow_provider_leadconv.api.rate_limiting.host_state import RETRY_AFTER, HostState, decoded, encoded
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter, StateBusyError
from airflow_provider_leadconv.api.rate_limiting.locked_file import LockedFile
from airflow_provider_leadconv.sandbox.settings import TokenBucket
from tests.support.clock import Clock
from tests.support.rate_simulation import on_hosts, simulate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "states"


def reserve(state: HostState, now: float, max_rate: float = 10.0) -> float:
    return state.update(now, lambda rate: rate.reserve(now, max_rate))


def rate_of(state: HostState, now: float) -> float:
    return state.update(now, lambda rate: rate.rate)


def learn(state: HostState, rate: float, now: float = 0.0) -> None:
    def change(current: AdaptiveRate) -> None:
        current.rate = rate

    state.update(now, change)


def test_two_processes_share_a_state(folder: Path):
    one, other = (HostState(folder, "state", 10.0) for _ in range(2))
    learn(one, 10.0)
    assert [reserve(one, 0.0), reserve(other, 0.0), reserve(one, 0.0)] == pytest.approx([0.0, 0.1, 0.2])


def test_the_simulation_of_a_host_is_the_same_with_files(folder: Path):
    options = {"duration": 20.0, "workers": 4, "seed": 3}
    in_files = simulate(TokenBucket(10.0), 4, make_limiter=on_hosts(4, lambda: HostState(folder, "s", 10.0)), **options)
    in_memory = simulate(TokenBucket(10.0), 4, make_limiter=on_hosts(4), **options)
    assert in_files.arrivals == in_memory.arrivals


def test_a_file_that_another_process_uses_is_busy(folder: Path):
    state, other = HostState(folder, "state", 10.0), LockedFile(folder, "state")
    other.lock(0.0)
    with pytest.raises(StateBusyError):
        reserve(state, 0.0)
    other.unlock()
    assert reserve(state, 0.0) == 0.0


def test_what_was_learned_outlives_the_file(folder: Path):
    state = HostState(folder, "state", 10.0)
    learn(state, 8.0)
    (folder / "state").unlink()
    assert rate_of(state, 1.0) == 8.0


def test_a_process_that_has_read_the_clock_earlier_believes_a_cut(folder: Path, caplog: pytest.LogCaptureFixture):
    # It was interrupted before it had the lock, and another one was faster.
    late, other = (HostState(folder, "state", 10.0) for _ in range(2))
    learn(late, 8.0)
    other.update(100.0, lambda rate: rate.cut(100.0, 10.0, 99.0))
    cut = rate_of(other, 100.0)
    assert rate_of(late, 99.99) == cut < 8.0
    assert not caplog.records


def damaged(content: bytes) -> list[bytes]:
    flipped = bytes([*content[:20], content[20] ^ 1, *content[21:]])
    return [b"x", content[:-1], content + b"x", flipped, b"\0" * len(content), b"LCR2" + content[4:]]


@pytest.mark.parametrize("number", range(6))
def test_a_damaged_state_begins_anew(folder: Path, caplog: pytest.LogCaptureFixture, number: int):
    learn(HostState(folder, "state", 10.0), 8.0)
    path = folder / "state"
    path.write_bytes(damaged(path.read_bytes())[number])
    assert rate_of(HostState(folder, "state", 10.0), 0.0) == 1.0
    assert len(path.read_bytes()) == len(encoded(AdaptiveRate(1.0)))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is damaged, and begins anew" in caplog.text


IMPLAUSIBLE = {
    "next permit far in the future": AdaptiveRate(10.0, 1000.0 + 103.0),
    "bound far in the future": AdaptiveRate(10.0, bounds={10.0: 1000.0 + 103.0}),
    "cut in the future": AdaptiveRate(10.0, 1000.0, 1061.0),
    "rate of zero": AdaptiveRate(0.0),
    "negative rate": AdaptiveRate(-1.0),
    "no number": AdaptiveRate(math.nan),
    "no time": AdaptiveRate(10.0, math.nan),
    "no time of a bound": AdaptiveRate(10.0, 1000.0, bounds={10.0: math.nan}),
    "negative bound": AdaptiveRate(10.0, bounds={-1.0: 0.0}),
    "infinite rate": AdaptiveRate(math.inf),
}


@pytest.mark.parametrize("name", IMPLAUSIBLE)
def test_what_cannot_be_right_is_not_believed(name: str):
    assert decoded(encoded(IMPLAUSIBLE[name]), 1000.0) is None


def test_a_thousand_waiting_processes_are_believed():
    rate = AdaptiveRate(10.0, 1100.0, bounds={10.0: 1100.0})
    assert decoded(encoded(rate), 1000.0) == rate


@given(
    st.floats(0.2, 1e6),
    st.floats(-1e6, 1e3),
    st.floats(-1e6, 1e3),
    st.dictionaries(st.floats(0.01, 1e6), st.floats(-1e6, 1e3), max_size=MAX_BOUNDS),
)
def test_a_state_is_read_as_it_was_written(
    rate: float, next_permit: float, cut_at: float, bounds: dict[float, float]
) -> None:
    written = AdaptiveRate(rate, next_permit, cut_at, bounds)
    assert decoded(encoded(written), 1000.0) == written


@given(st.binary(max_size=200), st.floats(0.0, 1e6))
def test_hostile_content_is_refused(content: bytes, now: float) -> None:
    assert decoded(content, now) is None


def test_a_folder_that_cannot_be_had_means_a_rate_of_its_own_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    clock = Clock()
    limiters = [AdaptiveRateLimiter(10.0, clock=clock, state=HostState(folder, "state", 10.0)) for _ in range(2)]
    assert [limiter.acquire() for limiter in limiters] == [0.0, 0.0]
    assert [limiter.acquire() for limiter in limiters] == [1.0, 1.0]
    (record,) = caplog.records
    assert (record.levelno, record.name.split(".")[0]) == (logging.WARNING, "airflow_provider_leadconv")
    assert f"with mode 777: '{folder}'" in caplog.text
    assert '"rate_limit_scope": "process"' in caplog.text
    assert list(folder.iterdir()) == []


def test_a_folder_that_can_be_had_later_is_used_then(tmp_path: Path):
    folder = tmp_path / "later" / "states"
    state = HostState(folder, "state", 10.0)
    assert rate_of(state, 0.0) == 1.0
    folder.parent.mkdir()
    learn(HostState(folder, "state", 10.0), 8.0, 1.0)
    assert rate_of(state, RETRY_AFTER - 1.0) == 1.0
    assert rate_of(state, RETRY_AFTER + 1.0) == 8.0
