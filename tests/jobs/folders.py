"""Looking into an exported folder as a reader would: by its manifest."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from datetime import timedelta

import zstandard
from pyarrow import parquet

from airflow_provider_leadconv.jobs.dataset import DatasetOptions, export_dataset
from airflow_provider_leadconv.jobs.object_folder import ObjectFolder
from airflow_provider_leadconv.jobs.storage import LocalFolder
from airflow_provider_leadconv.jobs.writers import FileFormat
from jobs.account import selection


def export(account, folder, chosen=None, how=None, config=None, **options):
    return export_dataset(
        account.client(**(config or {})),
        chosen or selection(),
        store(folder) if hasattr(folder, "iterdir") else folder,
        how or FileFormat(),
        DatasetOptions(**options),
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
    if name.endswith(".gz"):
        data = gzip.decompress(data)
    elif name.endswith(".zst"):
        data = zstandard.ZstdDecompressor().stream_reader(data).read()
    if ".jsonl" in name:
        return [json.loads(line)["id"] for line in data.splitlines()]
    if ".csv" in name:
        return [int(row["id"]) for row in csv.DictReader(io.StringIO(data.decode(), newline=""))]
    return parquet.read_table(io.BytesIO(data))["id"].to_pylist()
