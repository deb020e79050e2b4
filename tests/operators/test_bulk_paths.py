from __future__ import annotations

import uuid

import fsspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.bulk_paths import check_paths
from tests.support.airflow_harness import run_task
from tests.support.capabilities import needs_relative_paths

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

PAIRS = [("leads_path", "failures_path"), ("leads_path", "results_path"), ("results_path", "failures_path")]


def bulk(**options):
    source = {} if "leads_path" in options else {"leads": [1]}
    return LeadConversionBulkOperator(task_id="convert", **source, **options)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a file, and links to the file and to the folder."""
    (tmp_path / "data").mkdir()
    folder = tmp_path / "data"
    (folder / "a.csv").write_text("lead_id\n1\n")
    (folder / "link.csv").symlink_to("a.csv")
    (tmp_path / "link").symlink_to("data")
    monkeypatch.chdir(folder)
    return folder


SPELLINGS = [
    "{0}/a.csv",
    "file://{0}/a.csv",
    "/{0}/a.csv",
    "{0}//a.csv",
    "{0}/a.csv/",
    "{0}/../data/a.csv",
    "{0}/./a.csv",
    "file://a.csv",
    "{0}/link.csv",
    "{0}/../link/a.csv",
    *(pytest.param(path, marks=needs_relative_paths.mark) for path in ("a.csv", "./a.csv", "../data/a.csv")),
    pytest.param("local://{0}/a.csv", marks=needs_relative_paths.mark),  # Airflow 2 does not know this scheme
]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_a_file_in_two_spellings_is_the_same_file(folder, names, spelling):
    first, second = names
    task = bulk(**{first: f"{folder}/a.csv", second: spelling.format(folder)})
    with pytest.raises(InvalidRequestError, match=f"{second} and {first} are the same file: "):
        check_paths(task)


@pytest.mark.parametrize("names", PAIRS, ids="-".join)
def test_a_file_that_is_not_there_yet_is_the_same_file_through_a_link(folder, names):
    first, second = names
    with pytest.raises(InvalidRequestError, match="are the same file"):
        check_paths(bulk(**{first: f"{folder}/new.csv", second: f"{folder.parent}/link/new.csv"}))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("memory://bucket/a.csv", "memory://bucket/a.csv/"),
        ("memory://bucket/a.csv", "memory://key@bucket/a.csv"),
        ("s3://bucket/a.csv", "s3a://bucket/a.csv"),
    ],
)
def test_an_object_in_two_spellings_is_the_same_file(first, second):
    attach("memory", fs=fsspec.filesystem("memory"))
    attach("memory", conn_id="key", fs=fsspec.filesystem("memory"))
    with pytest.raises(InvalidRequestError, match="failures_path and leads_path are the same file"):
        check_paths(bulk(leads_path=first, failures_path=second))


@pytest.mark.parametrize("name", ["leads_path", "failures_path"])
@pytest.mark.parametrize("ending", [".leads.jsonl", ".journal-000000.jsonl", ".journal", ".claim"])
def test_a_file_that_the_run_keeps_beside_its_results(folder, name, ending):
    task = bulk(results_path=f"{folder}/r.jsonl", **{name: f"file://{folder}/./r.jsonl{ending}"})
    with pytest.raises(InvalidRequestError, match=f"{name} is the name of a file that the run keeps beside results_"):
        check_paths(task)


@pytest.mark.parametrize(
    "paths",
    [
        {"leads_path": "{0}/a.csv", "results_path": "{0}/a.csv.gz", "failures_path": "{0}/a.jsonl"},
        {"leads_path": "{0}/a.csv", "results_path": "memory:/{0}/a.csv"},
        {"results_path": "{0}/a.csv", "failures_path": ""},
        {"leads_path": "{0}/a.csv"},
        {"results_path": "memory://bucket/a.csv", "failures_path": "memory://other/a.csv"},
    ],
)
def test_different_files(folder, paths):
    attach("memory", fs=fsspec.filesystem("memory"))
    check_paths(bulk(**{name: path.format(folder) for name, path in paths.items()}))


def test_the_task_fails_before_it_reads_or_writes_anything(sandbox, folder):
    run = run_task(bulk(leads_path=f"{folder}/a.csv", failures_path=f"{folder}/link.csv", retries=3))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)
    assert f"failures_path and leads_path are the same file: {folder}/link.csv" in str(run.error)
    assert sandbox.requests == []
    assert (folder / "a.csv").read_text() == "lead_id\n1\n"
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "link.csv"]


def test_an_object_of_leads_is_not_overwritten(sandbox):
    attach("memory", fs=fsspec.filesystem("memory"))
    path = ObjectStoragePath(f"memory://bucket-{uuid.uuid4().hex}/leads.csv")
    path.write_bytes(b"lead_id\n1\n")
    run = run_task(bulk(leads_path=str(path), failures_path=f"{path}/"))
    assert "are the same file" in str(run.error)
    assert path.read_bytes() == b"lead_id\n1\n"
