"""Files of leads at local paths and in an object store; tests/bulk/inputs/test_files.py has their formats."""

from __future__ import annotations

import json
import uuid

import fsspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs import Columns
from airflow_provider_leadconv.hooks.lead_files import read_lead_file

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
