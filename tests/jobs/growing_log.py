"""Runs over a growing log, for hypothesis to order in whatever way breaks them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import strategies as st

from airflow_provider_leadconv.jobs import feed
from jobs.account import Account, conversion

WINDOW_ROWS = 6


class Killed(BaseException):
    """Where a run dies."""


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
        st.one_of(st.none(), st.integers(1, 12)),  # the write at which it is killed
    ),
    min_size=1,
    max_size=8,
)


def replay(runs, job):
    """Let the log grow and the runs run, and after them two that nothing disturbs.

    :param job: one run; takes the account and the write to die at.
    """
    account = GrowingLog()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feed, "WINDOW_ROWS", WINDOW_ROWS)
        patch.setattr(feed, "WINDOW_TIME", timedelta(0))
        for growth, during, killed_at_request, killed_at_write in runs:
            account.grow(growth)
            _run(account, during, killed_at_request, lambda write=killed_at_write: job(account, write))
        job(account, None)
        for number in list(account.hidden):
            account.reveal(number)
        job(account, None)
    return account


def _run(account, during, killed_at_request, job):
    first = len(account.queries)

    def before(number):
        if number - first == killed_at_request:
            raise Killed
        account.grow(during.get(number - first, ()))

    account.before = before
    try:
        job()
    except Killed:
        return
    finally:
        account.before = lambda number: None
