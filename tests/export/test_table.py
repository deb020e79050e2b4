from __future__ import annotations

import io

from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.api.models import COLUMNS
from airflow_provider_leadconv.export.table import Spool, export_to_table
from tests.export.test_formats import rows_of
from tests.support.endpoint import Endpoint, conversion
from tests.support.exports import endpoint_of, selection
from tests.support.growing_endpoint import RUNS, Killed, replay


class DictTable:
    """A table in memory, with a commit after each batch, that can be killed at one."""

    def __init__(self, rows_per_commit=3):
        self.rows = {}
        self.commits = []
        self.writes = 0
        self.kill_at = None
        self._rows_per_commit = rows_per_commit

    def newest(self, *, below, limit):
        ids = [n for n in sorted(self.rows, reverse=True) if below is None or n < below]
        return rows_of(*(dict(zip(COLUMNS, self.rows[n], strict=True)) for n in ids[:limit]))

    def upsert(self, rows):
        batch = {}
        for row in rows:
            self.writes += 1
            if self.writes == self.kill_at:
                raise Killed
            batch[row[0]] = row
            if len(batch) == self._rows_per_commit:
                self._commit(batch)
                batch = {}
        self._commit(batch)

    def _commit(self, batch):
        self.rows.update(batch)
        self.commits.append(max(self.rows, default=0))


def export(endpoint, table, *, incremental=False, **query):
    return export_to_table(endpoint.client(), selection(**query), table, incremental=incremental)


def test_rows_go_in_oldest_first():
    endpoint = endpoint_of(1000)
    table = DictTable(rows_per_commit=100)
    summary = export(endpoint, table)
    assert sorted(table.rows) == endpoint.ids
    assert table.commits[:10] == list(range(100, 1001, 100))
    assert (summary.rows, summary.min_id, summary.max_id, summary.api_calls) == (1000, 1, 1000, 5)
    assert table.rows[3] == (3, 30, None, 15, 21, 2, "2026-01-01T00:03:00+00:00")


def test_nothing():
    summary = export(Endpoint(), DictTable(), incremental=True)
    assert (summary.rows, summary.min_id, summary.max_id) == (0, None, None)


def test_incremental_reads_down_to_the_window_only():
    endpoint = endpoint_of(5000)
    late = endpoint.rows.pop(4900)
    table = DictTable(rows_per_commit=1000)
    export(endpoint, table)
    endpoint.add(late, *(conversion(n) for n in range(5001, 5051)))
    summary = export(endpoint, table, incremental=True)
    assert (summary.rows, summary.api_calls) == (51, 2)
    assert sorted(table.rows) == endpoint.ids


def test_spool_gives_rows_back_in_the_opposite_order():
    rows = rows_of(*(conversion(n) for n in range(500, 0, -1)))
    spool = Spool(io.BytesIO())
    for start in range(0, 500, 200):
        spool.add(rows[start : start + 200])
    assert [row[0] for row in spool.backwards()] == list(range(1, 501))
    assert spool.rows == 500


@settings(max_examples=300, deadline=None)
@given(runs=RUNS, per_page=st.integers(1, 7))
def test_incremental_runs_leave_no_gap(runs, per_page):
    table = DictTable()

    def job(endpoint, write):
        table.kill_at = None if write is None else table.writes + write
        export(endpoint, table, incremental=True, per_page=per_page)

    endpoint = replay(runs, job)
    assert sorted(table.rows) == endpoint.ids
