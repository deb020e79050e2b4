from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.jobs.storage import LocalFolder
from jobs.account import selection
from jobs.folders import export, ids
from jobs.growing_log import RUNS, Killed, replay


class KilledFolder(LocalFolder):
    """A folder whose process dies at a write."""

    def __init__(self, path, write):
        super().__init__(path)
        self._left = write

    def publish(self, draft, name):
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                raise Killed
        super().publish(draft, name)


@settings(max_examples=300, deadline=None)
@given(runs=RUNS, per_page=st.integers(1, 7), rows_per_file=st.integers(1, 20))
def test_incremental_runs_take_every_id_once(runs, per_page, rows_per_file):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)

        def job(account, write):
            folder = KilledFolder(path, write)
            export(account, folder, selection(per_page=per_page), rows_per_file=rows_per_file, incremental=True)

        account = replay(runs, job)
        assert sorted(ids(path)) == account.ids
