"""What an export has cost, and what is in its files."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.export.summary import ExportSummary, FileFacts, Stopwatch
from tests.support.endpoint import Endpoint


def facts(low, high, rows):
    return FileFacts(rows=rows, min_id=low, max_id=high, bytes=10 * rows, sha256="")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], (0, None, None, 0)),
        ([facts(None, None, 0)], (0, None, None, 0)),
        ([facts(5, 9, 3), facts(None, None, 0), facts(2, 4, 2)], (5, 2, 9, 50)),
    ],
)
def test_rows_ids_and_bytes_are_those_of_all_files(files, expected):
    summary = Stopwatch(Endpoint().client()).summary(files)
    assert (summary.rows, summary.min_id, summary.max_id, summary.bytes) == expected


def test_only_requests_and_seconds_since_the_start_count():
    client = Endpoint(latency=2.0).client()
    client.get_page(ListQuery())
    stopwatch = Stopwatch(client)
    client.get_page(ListQuery())
    client.sleep(0.12345)
    summary = stopwatch.summary([])
    assert summary == ExportSummary(rows=0, min_id=None, max_id=None, bytes=0, api_calls=1, duration_s=2.123)
