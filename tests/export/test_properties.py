from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.exports import export, ids, manifest, selection
from tests.support.growing_endpoint import OVERLAP_ROWS, RUNS, KilledFolder, replay


def check_incremental_runs(runs, per_page, rows_per_file):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)

        def job(endpoint, write):
            folder = KilledFolder(path, write)
            export(endpoint, folder, selection(per_page=per_page), rows_per_file=rows_per_file, incremental=True)

        endpoint = replay(runs, job)
        assert sorted(ids(path)) == endpoint.ids


SCHEDULES = given(runs=RUNS, per_page=st.integers(1, 7), rows_per_file=st.integers(1, 20))


@settings(max_examples=100, deadline=None)
@SCHEDULES
def test_incremental_runs_take_every_id_once(runs, per_page, rows_per_file):
    check_incremental_runs(runs, per_page, rows_per_file)


@pytest.mark.slow
@settings(max_examples=2000, deadline=None)
@SCHEDULES
def test_incremental_runs_take_every_id_once_in_many_schedules(runs, per_page, rows_per_file):
    check_incremental_runs(runs, per_page, rows_per_file)


def test_the_window_of_replayed_runs_is_the_small_one():
    """Were it 200 rows, every run would read the whole changefeed again, and the property above would prove nothing."""
    windows, requests = [], []
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)

        def job(endpoint, write):
            before = len(endpoint.requests)
            export(endpoint, LocalFolder(path), selection(per_page=5), incremental=True)
            windows.append(manifest(path)["window"]["ids"])
            requests.append(len(endpoint.requests) - before)

        replay([([True] * 50, {}, None, None), ([True] * 2, {}, None, None)], job)
    assert [len(window) for window in windows] == [OVERLAP_ROWS + 1] * 4
    assert requests[0] == 10
    assert max(requests[1:]) <= 3
