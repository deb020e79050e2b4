"""Exports from the endpoint in memory, and what a reader of an exported folder sees: by its manifest."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import timedelta

import zstandard
from pyarrow import parquet

from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.export.folder import FolderOptions, export_folder
from airflow_provider_leadconv.export.selection import Selection
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.local import LocalFolder
from airflow_provider_leadconv.storage.object_store import ObjectFolder
from tests.support.endpoint import Endpoint, conversion
from tests.support.responses import response

FORMATS = [
    FileFormat(name="jsonl"),
    FileFormat(name="jsonl", compression="gzip"),
    FileFormat(name="jsonl", compression="zstd"),
    FileFormat(name="csv"),
    FileFormat(name="csv", compression="gzip"),
    FileFormat(name="csv", compression="zstd"),
    FileFormat(name="parquet"),
]


def selection(created_from=None, created_until=None, **query):
    return Selection(query=ListQuery(**query), created_from=created_from, created_until=created_until)


def endpoint_of(rows, **options):
    """An endpoint with the conversions 1 to a number."""
    return Endpoint((conversion(n) for n in range(1, rows + 1)), **options)


def failing_after(requests):
    """An ``on_request`` that answers 503 after a number of requests."""
    return lambda sent: response(503, {}) if sent.number > requests else None


def export(endpoint, folder, chosen=None, file_format=None, config=None, **options):
    return export_folder(
        endpoint.client(**(config or {})),
        chosen or selection(),
        store(folder) if hasattr(folder, "iterdir") else folder,
        file_format or FileFormat(),
        FolderOptions(**options),
    )


def store(path):
    """The store at a path, where nothing is too young to be discarded."""
    return ObjectFolder(path.fs, path.path, grace=timedelta(0)) if hasattr(path, "fs") else LocalFolder(path)


def manifest(folder):
    return json.loads((folder / "_manifest.json").read_bytes())


def names(folder):
    """All files but the lock, which only a local folder has."""
    return sorted({path.name for path in folder.iterdir()} - {".lock"})


def ids(folder):
    """The ids a reader sees, and a check that the manifest is true."""
    found = manifest(folder)
    everything = []
    for part in found["parts"]:
        data = (folder / part["name"]).read_bytes()
        assert len(data) == part["bytes"]
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
        of_part = ids_in(data, part["name"])
        assert (len(of_part), min(of_part), max(of_part)) == (part["rows"], part["min_id"], part["max_id"])
        everything += of_part
    assert found["rows"] == len(everything)
    assert (found["min_id"], found["max_id"]) == (min(everything, default=None), max(everything, default=None))
    return everything


def ids_in(data, name):
    return [int(row["id"]) for row in rows_in(data, name)]


def rows_in(data, name):
    """The rows of a file as its format has them: all of CSV is text, and Parquet has times."""
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    elif name.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    if ".jsonl" in name:
        return [json.loads(line) for line in data.splitlines()]
    if ".csv" in name:
        return list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    return parquet.read_table(io.BytesIO(data)).to_pylist()
