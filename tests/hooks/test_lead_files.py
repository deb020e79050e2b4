"""Files of leads at local paths and in an object store; tests/bulk/inputs/test_files.py has their formats."""

from __future__ import annotations

import json
import os
import uuid

import fsspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk import inputs
from airflow_provider_leadconv.bulk.inputs import Columns, rows_of_file
from airflow_provider_leadconv.hooks.lead_files import read_lead_file
from tests.support.capabilities import needs_relative_paths

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

RESULT = json.dumps({"lead_id": 7, "status": "failed", "run": "r"})


@pytest.fixture(params=["local", "memory"])
def path(request, tmp_path):
    if request.param == "local":
        return ObjectStoragePath(f"file://{tmp_path}/leads.jsonl")
    attach("memory", fs=fsspec.filesystem("memory"))
    return ObjectStoragePath(f"memory://bucket-{uuid.uuid4().hex}/leads.jsonl")


def journal_of(path):
    return path.with_name("leads.jsonl.journal" if path.protocol == "file" else "leads.jsonl.journal-000000.jsonl")


@pytest.mark.parametrize("has_journal", [True, False])
@pytest.mark.parametrize("line", [RESULT, "7"])
def test_results_with_a_journal_have_unknown_outcomes(path, line, has_journal):
    path.write_bytes(line.encode())
    if has_journal:
        journal_of(path).write_bytes(b'{"record":"sending","run":"r"}\n')
    batch = read_lead_file(str(path), Columns(), owner_id=5)
    assert batch == [ConversionRequest(7, 5)]
    assert batch.has_unknown is (has_journal and line == RESULT)


def test_a_file_that_is_not_there(path):
    with pytest.raises(InvalidRequestError, match=f"cannot use leads_path {path}: "):
        read_lead_file(str(path), Columns())


@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device"])
def test_what_is_no_file(tmp_path, kind):
    path = tmp_path / "leads.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(InvalidRequestError, match=r"leads\.csv: it is not a file, but a folder, a pipe or a device"):
        read_lead_file(str(path), Columns())


def test_a_link_to_a_file(tmp_path):
    (tmp_path / "leads.csv").write_text("lead_id\n7\n")
    (tmp_path / "link.csv").symlink_to("leads.csv")
    assert read_lead_file(f"{tmp_path}/link.csv", Columns()) == [ConversionRequest(7)]


@needs_relative_paths
def test_a_file_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "leads.csv").write_text("lead_id\n7\n")
    assert read_lead_file("~/leads.csv", Columns()) == [ConversionRequest(7)]


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "leads.csv"
    path.write_text("lead_id\n5012001\n501")

    def rows_and_more(*args):
        yield from rows_of_file(*args)
        with path.open("a") as file:
            file.write("2002\n")

    monkeypatch.setattr(inputs, "rows_of_file", rows_and_more)
    with pytest.raises(InvalidRequestError, match=r"leads\.csv was changed while it was read: write it under another"):
        read_lead_file(str(path), Columns())
    monkeypatch.undo()
    assert read_lead_file(str(path), Columns()) == [ConversionRequest(5012001), ConversionRequest(5012002)]
