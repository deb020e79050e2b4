from __future__ import annotations

import csv
import gzip
import json

import fsspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

from airflow_provider_leadconv.api.errors import AuthenticationError, InvalidRequestError, UnavailableError
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox


@pytest.fixture(scope="module")
def account():
    with Sandbox(conversions=1_050) as sandbox:
        yield sandbox


@pytest.fixture(autouse=True)
def connection(account, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(account.connection))


def ids(account):
    return [conversion["id"] for conversion in account.conversions]


def export(**options):
    return LeadConversionExportOperator(task_id="export", **options).execute({})


def test_jsonl_to_a_disk(account, tmp_path):
    account.clear_requests()
    path = str(tmp_path / "new" / "conversions.jsonl")
    result = export(path=path)
    rows = [json.loads(line) for line in (tmp_path / "new" / "conversions.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ids(account)
    assert rows == account.conversions
    assert result == {
        "path": path,
        "rows": 1_050,
        "min_id": ids(account)[-1],
        "max_id": ids(account)[0],
        "bytes": (tmp_path / "new" / "conversions.jsonl").stat().st_size,
        "api_calls": 6,
        "duration_s": result["duration_s"],
    }
    assert len(account.requests) == 6
    assert len(json.dumps(result)) < 1024


def test_csv_gz_to_an_object_store(account):
    attach("memory", fs=fsspec.filesystem("memory"))
    export(path="memory://bucket/exports/conversions.csv.gz")
    data = ObjectStoragePath("memory://bucket/exports/conversions.csv.gz").read_bytes()
    rows = list(csv.DictReader(gzip.decompress(data).decode().splitlines()))
    assert [int(row["id"]) for row in rows] == ids(account)
    assert list(rows[0]) == list(account.conversions[0])


def test_folder_verified_and_then_incremental(account, tmp_path):
    path = f"{tmp_path}/conversions/"
    options = {"path": path, "file_format": "parquet", "incremental": True}
    first = export(**options, rows_per_file=400, verify_complete=True)
    manifest = json.loads((tmp_path / "conversions" / "_manifest.json").read_text())
    assert [part["rows"] for part in manifest["parts"]] == [400, 400, 250]
    assert manifest["settings"]["host"] == account.base_url
    assert manifest["settings"]["account"] == "leadconv_default"
    assert manifest["verification"]["listed"] == 1_050
    assert (first["path"], first["rows"], first["api_calls"]) == (path, 1_050, 12)
    assert export(**options)["rows"] == 0
    assert export(**options, full="True")["rows"] == 1_050


def test_filters_as_templates_render_them(account, tmp_path):
    creator = account.conversions[0]["creator_id"]
    result = export(path=str(tmp_path / "a.csv"), creator_id=str(creator))
    assert result["rows"] == sum(conversion["creator_id"] == creator for conversion in account.conversions)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"path": "/tmp/conversions"}, "does not end in .jsonl"),
        ({"path": "/tmp/a.jsonl", "creator_id": "two"}, "creator_id must be an integer"),
        ({"path": "/tmp/a.jsonl", "created_from": "None"}, "created_from must be a time"),
    ],
)
def test_wrong_parameters_fail_without_retries(account, options, complaint):
    account.clear_requests()
    with pytest.raises(AirflowFailException, match=complaint) as raised:
        export(**options)
    assert isinstance(raised.value.__cause__, InvalidRequestError)
    assert account.requests == []


def test_wrong_token_fails_without_retries(account, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(account.connection | {"password": "wrong-token"}))
    with pytest.raises(AirflowFailException, match="valid access token") as raised:
        export(path=str(tmp_path / "a.jsonl"))
    assert isinstance(raised.value.__cause__, AuthenticationError)
    assert list(tmp_path.iterdir()) == []


def test_outage_is_left_to_retries_and_the_old_file_stays(account, monkeypatch, tmp_path):
    (tmp_path / "a.jsonl").write_text("old")
    hasty = account.connection | {"extra": {"timeout": 1, "retry_timeout": 1.5}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(hasty))
    account.faults = ["error_503,times=50"]
    try:
        with pytest.raises(UnavailableError):
            export(path=str(tmp_path / "a.jsonl"))
    finally:
        account.faults = []
    assert (tmp_path / "a.jsonl").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"path": "a/", "incremental": True, "created_from": "{{ ds }}"}, "incremental excludes created_from"),
        ({"path": "a.jsonl", "incremental": True}, "incremental needs a folder"),
        ({"path": "a.jsonl", "incremental": True, "full": True}, "incremental, full needs a folder"),
        ({"path": "a.jsonl", "rows_per_file": 5}, "rows_per_file needs a folder"),
        ({"path": "{{ ds }}.csv", "verify_complete": True}, "verify_complete needs a folder"),
    ],
)
def test_contradictions_are_found_when_the_dag_is_parsed(options, complaint):
    with pytest.raises(InvalidRequestError, match=complaint):
        LeadConversionExportOperator(task_id="export", **options)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"path": "/tmp/a.jsonl", "incremental": True}, "incremental needs a folder"),
        ({"path": "/tmp/a.jsonl", "full": "true"}, "full needs a folder"),
        ({"path": "/tmp/a/", "full": "maybe"}, "full must be true or false"),
        ({"path": "/tmp/a/", "full": "true"}, "full=True starts an incremental export over"),
        ({"path": "/tmp/a/", "rows_per_file": 0}, "rows_per_file must be at least 1"),
    ],
)
def test_contradictions_that_show_once_rendered(options, complaint):
    operator = LeadConversionExportOperator(task_id="export", **(options | {"path": "{{ params.path }}"}))
    operator.path = options["path"]
    with pytest.raises(AirflowFailException, match=complaint):
        operator.execute({})


def test_templates_render():
    operator = LeadConversionExportOperator(
        task_id="export", path="/data/{{ ds }}.jsonl", created_from="{{ data_interval_start }}"
    )
    operator.render_template_fields({"ds": "2026-11-23", "data_interval_start": "2026-11-22T00:00:00+00:00"})
    assert operator.path == "/data/2026-11-23.jsonl"
    assert operator.created_from == "2026-11-22T00:00:00+00:00"


def test_parsing_a_dag_reads_nothing():
    LeadConversionExportOperator(task_id="export", path="/proc/nowhere/a.jsonl", leadconv_conn_id="no_such_connection")
