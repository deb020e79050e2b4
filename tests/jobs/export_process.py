"""A process of its own that exports, to be killed or measured.

Usage: python -m jobs.export_process FOLDER ROWS ROWS_PER_FILE FILE_FORMAT COMPRESSION SECONDS_PER_REQUEST
Prints "ready" before it starts, and its peak of resident memory in MB when it is done.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import msgspec

from airflow_provider_leadconv.api.messages import Answer
from airflow_provider_leadconv.jobs.dataset import DatasetOptions, export_dataset
from airflow_provider_leadconv.jobs.storage import LocalFolder
from airflow_provider_leadconv.jobs.writers import FileFormat
from jobs.account import Account, conversion, selection


class EndlessAccount(Account):
    """Conversions 1 to a number, made when they are asked for."""

    def __init__(self, rows, seconds_per_request=0.0):
        super().__init__()
        self._last = rows
        self._seconds = seconds_per_request
        self.requests = 0

    def __call__(self, request, token):
        time.sleep(self._seconds)
        self.requests += 1
        query = dict(pair.split("=") for pair in request.query.split("&"))
        top = int(query.get("cursor", self._last + 1)) - 1
        low = max(1, top + 1 - int(query["per_page"]))
        items = [{"data": conversion(number)} for number in range(top, low - 1, -1)]
        links = {"next_page": f"https://elsewhere/v2?cursor={low}"} if low > 1 else {}
        body = {"items": items, "meta": {"count": len(items), "links": links}}
        return Answer(status=200, headers={}, body=msgspec.json.encode(body))


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(folder, rows, rows_per_file, file_format, compression, seconds_per_request):
    how = FileFormat(file_format=file_format, compression=compression or None)
    if file_format == "parquet":
        import pyarrow.parquet  # noqa: F401  # so that all moments to be killed at are those of the export
    account = EndlessAccount(int(rows), float(seconds_per_request))
    print("ready", flush=True)
    options = DatasetOptions(rows_per_file=int(rows_per_file))
    summary = export_dataset(account.client(), selection(), LocalFolder(Path(folder)), how, options)
    assert summary.api_calls == account.requests
    print(f"{peak_mb():.1f} {account.requests}")


if __name__ == "__main__":
    main(*sys.argv[1:])
