"""Runs over a growing log, in whatever order hypothesis finds to break them."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.jobs import feed
from jobs.account import Account, conversion, selection
from jobs.folders import export, ids

WINDOW_ROWS = 6


class Killed(BaseException):
    pass


class GrowingLog(Account):
    """Ids become visible in any order, but none after more than a window of higher ones."""

    def __init__(self):
        super().__init__()
        self.hidden = {}
        self.last_id = 0

    def grow(self, visible):
        for seen in visible:
            self.last_id += 1
            (self.rows if seen else self.hidden)[self.last_id] = conversion(self.last_id)
            for number in [n for n in self.hidden if sum(m > n for m in self.rows) >= WINDOW_ROWS]:
                self.reveal(number)

    def reveal(self, number):
        self.rows[number] = self.hidden.pop(number)


GROWTH = st.lists(st.sampled_from([True, True, True, False]), max_size=25)
RUNS = st.lists(
    st.tuples(
        GROWTH,  # before the run
        st.dictionaries(st.integers(1, 12), GROWTH, max_size=2),  # at a request of the run
        st.one_of(st.none(), st.integers(1, 12)),  # the request at which it is killed
    ),
    min_size=1,
    max_size=8,
)


@pytest.fixture(autouse=True, scope="module")
def small_window():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "WINDOW_ROWS", WINDOW_ROWS)
        patch.setattr(feed, "WINDOW_TIME", timedelta(0))
        yield


def run(account, during, killed_at, job):
    first = len(account.queries)

    def before(number):
        if number - first == killed_at:
            raise Killed
        account.grow(during.get(number - first, ()))

    account.before = before
    try:
        job()
    except Killed:
        return
    finally:
        account.before = lambda number: None


def replay(runs, job):
    account = GrowingLog()
    for growth, during, killed_at in [*runs, ([], {}, None)]:
        account.grow(growth)
        run(account, during, killed_at, lambda: job(account))
    for number in list(account.hidden):
        account.reveal(number)
    job(account)
    return account


@settings(max_examples=300, deadline=None)
@given(runs=RUNS, per_page=st.integers(1, 7), rows_per_file=st.integers(1, 20))
def test_incremental_runs_take_every_id_once(runs, per_page, rows_per_file):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def job(account):
            export(account, folder, selection(per_page=per_page), rows_per_file=rows_per_file, incremental=True)

        account = replay(runs, job)
        assert sorted(ids(folder)) == account.ids
