from __future__ import annotations

import uuid

import fsspec
import pytest

from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.snapshot import LeadSnapshot
from airflow_provider_leadconv.storage.local import LocalFolder
from airflow_provider_leadconv.storage.object_store import ObjectFolder
from tests.support.storage import put

LEADS = [ConversionRequest(7, 3, False), ConversionRequest(8)]
NAME = "results.jsonl.leads.jsonl"


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    if request.param == "local":
        return LocalFolder(tmp_path / "results")
    return ObjectFolder(fsspec.filesystem("memory"), f"/bucket-{uuid.uuid4().hex}/results")


def snapshot(folder, run="run", query="query"):
    return LeadSnapshot(folder, NAME, run=run, query=query)


def test_there_is_none_before_the_first_try(folder):
    assert snapshot(folder).read() is None


@pytest.mark.parametrize("leads", [LEADS, []])
def test_a_retry_gets_the_leads_of_the_first_try(folder, leads):
    snapshot(folder).write(leads)
    assert snapshot(folder).read() == leads
    snapshot(folder).remove()
    assert snapshot(folder).read() is None


def test_another_run_is_refused(folder):
    snapshot(folder).write(LEADS)
    with pytest.raises(InvalidLeadsError, match=r"holds the leads of another run \(run\): put \{\{ run_id \}\}"):
        snapshot(folder, run="other").read()


def test_another_query_is_refused(folder):
    snapshot(folder).write(LEADS)
    with pytest.raises(InvalidLeadsError, match="the query is another one than that of this run's first try"):
        snapshot(folder, query="other").read()


@pytest.mark.parametrize("content", [b"", b"\n", b"x\n", b'{"run": "run", "query": "query"}\n{"lead_id": 0}\n'])
def test_what_is_no_snapshot_is_refused(folder, content):
    put(folder, NAME, content)
    with pytest.raises(InvalidLeadsError, match="is there and is no snapshot of leads"):
        snapshot(folder).read()
