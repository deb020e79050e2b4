"""A process of its own that exports, to be killed or measured.

Usage: python -m tests.support.export_process FOLDER ROWS ROWS_PER_FILE FILE_FORMAT COMPRESSION SECONDS_PER_REQUEST
FILE_FORMAT may be sqlite. Prints "ready" before it starts, and when it is done, last of all, its peak of memory
(resident, MB) and the number of requests.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import msgspec

from airflow_provider_leadconv.export.folder import FolderOptions, export_folder
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.endpoint import Endpoint, conversion
from tests.support.exports import selection
from tests.support.responses import page, response


class GeneratedEndpoint(Endpoint):
    """Conversions 1 to a number, made when asked for and not kept, so that the memory is that of the export."""

    def __init__(self, rows, seconds_per_request=0.0):
        super().__init__()
        self._last = rows
        self._seconds = seconds_per_request
        self.sent = 0

    def __call__(self, request, token):
        time.sleep(self._seconds)
        self.sent += 1
        query = dict(pair.split("=") for pair in request.query.split("&"))
        top = int(query.get("cursor", self._last + 1)) - 1
        low = max(1, top + 1 - int(query["per_page"]))
        rows = (conversion(number) for number in range(top, low - 1, -1))
        return response(200, msgspec.json.encode(page(*rows, cursor=low if low > 1 else None)))


def peak_mb():
    """Of this process: getrusage would begin with the peak of the one that started it."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def to_folder(endpoint, folder, rows_per_file, file_format):
    options = FolderOptions(rows_per_file=rows_per_file)
    return export_folder(endpoint.client(), selection(), LocalFolder(folder), file_format, options).api_calls


def to_sqlite(endpoint, folder):
    from airflow_provider_leadconv.transfers.leadconv_to_sql import LeadConversionToSqlOperator

    folder.mkdir()
    os.environ["AIRFLOW_CONN_SQL"] = json.dumps({"conn_type": "sqlite", "host": str(folder / "sql.db")})
    operator = LeadConversionToSqlOperator(task_id="export", table="conversions", sql_conn_id="sql")
    operator.hook = SimpleNamespace(get_conn=endpoint.client)
    return operator.execute({})["api_calls"]


def main(folder, rows, rows_per_file, file_format, compression, seconds_per_request):
    if file_format == "parquet":
        import pyarrow.parquet  # noqa: F401  # so that all moments to be killed at are those of the export
    endpoint = GeneratedEndpoint(int(rows), float(seconds_per_request))
    print("ready", flush=True)
    if file_format == "sqlite":
        requests = to_sqlite(endpoint, Path(folder))
    else:
        file_format = FileFormat(name=file_format, compression=compression or None)
        requests = to_folder(endpoint, Path(folder), int(rows_per_file), file_format)
    assert requests == endpoint.sent
    print(f"{peak_mb():.1f} {requests}")


if __name__ == "__main__":
    main(*sys.argv[1:])
