"""Incremental runs over a growing changefeed, in any order that hypothesis chooses, and killed at any moment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import strategies as st

from airflow_provider_leadconv import changefeed
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.endpoint import Endpoint, conversion

OVERLAP_ROWS = 6


class Killed(BaseException):
    """Ends a run at once, as SIGKILL would."""


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


class GrowingEndpoint(Endpoint):
    """Ids become visible in any order, but none after more than a window of higher ones."""

    def __init__(self):
        super().__init__()
        self.hidden = {}
        self.last_id = 0

    def grow(self, visible):
        for seen in visible:
            self.last_id += 1
            (self.rows if seen else self.hidden)[self.last_id] = conversion(self.last_id)
            for number in [n for n in self.hidden if sum(m > n for m in self.rows) >= OVERLAP_ROWS]:
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
    """Let the changefeed grow and the runs run, and after them two that nothing disturbs.

    :param job: one run; takes the endpoint and the write to be killed at.
    :return: the endpoint, with every conversion visible.
    """
    endpoint = GrowingEndpoint()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(changefeed, "OVERLAP_ROWS", OVERLAP_ROWS)
        patch.setattr(changefeed, "OVERLAP_TIME", timedelta(0))
        for growth, during, killed_at_request, killed_at_write in runs:
            endpoint.grow(growth)
            _run(endpoint, during, killed_at_request, lambda write=killed_at_write: job(endpoint, write))
        job(endpoint, None)
        for number in list(endpoint.hidden):
            endpoint.reveal(number)
        job(endpoint, None)
    return endpoint


def _run(endpoint, during, killed_at_request, job):
    first = len(endpoint.requests)

    def on_request(sent):
        if sent.number - first == killed_at_request:
            raise Killed
        endpoint.grow(during.get(sent.number - first, ()))

    endpoint.on_request = on_request
    try:
        job()
    except Killed:
        return
    finally:
        endpoint.on_request = lambda sent: None
