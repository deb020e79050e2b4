from __future__ import annotations

import csv
import gzip
import json
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Timer

import fsspec
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, ObjectStoragePath

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

from airflow_provider_leadconv.api.exceptions import (
    AuthenticationError,
    InvalidRequestError,
    UnavailableError,
)
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_task


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


def lines_of_the_export(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_leadconv.exp")]


def test_an_incremental_run_says_how_much_is_new(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="airflow_provider_leadconv.export")
    with Sandbox(conversions=30) as account:
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(account.connection))
        newest = account.conversions[0]["id"]
        for new in (0, 0, 2):
            for _ in range(new):
                account.add_conversion()
            export(path=f"{tmp_path}/", incremental=True)
    assert lines_of_the_export(caplog) == [
        "Added 30 conversions; the folder has 30 rows",
        f"Nothing new since id {newest}; the folder has 30 rows",
        "Added 2 conversions; the folder has 32 rows",
    ]


HOLDER = """
import sys
from pathlib import Path
from airflow_provider_leadconv.storage.local import LocalFolder
folder = LocalFolder(Path(sys.argv[1]))
with folder.locked("run 1 of task sell.export") if len(sys.argv) == 2 else folder.draft(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_run(folder, *name):
    """Another process that writes to a folder, or to a file of it, until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, str(folder), *name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("end", ["close", "kill"])
@pytest.mark.parametrize("target", ["", "conversions.jsonl"])
def test_a_second_run_waits_until_the_first_has_finished_or_was_killed(tmp_path, caplog, target, end):
    caplog.set_level("INFO", logger="airflow_provider_leadconv.export.lock")
    with other_run(tmp_path, *filter(None, [target])) as other:
        timer = Timer(1.5, other.kill if end == "kill" else other.stdin.close)
        timer.start()
        assert export(path=f"{tmp_path}/{target}", lock_timeout=300)["rows"] == 1_050
        timer.join()
    holder = "" if target else f" (run 1 of task sell.export, process {other.pid} on {socket.gethostname()})"
    (line,) = lines_of_the_export(caplog)
    assert re.fullmatch(
        r"Waiting for at most [45] min: " + re.escape(f"another run is writing to {tmp_path}{holder}"), line
    )


def test_a_second_run_fails_after_the_timeout_and_is_retried(tmp_path):
    with other_run(tmp_path) as other:
        run = run_task(task(path=f"{tmp_path}/", lock_timeout=0.2))
    assert run.state == "up_for_retry"
    assert str(run.error) == (
        f"another run is writing to {tmp_path} (run 1 of task sell.export, process {other.pid} on "
        f"{socket.gethostname()}) and has not finished within 0.2 s. Let one run at a time write there: set "
        "max_active_runs=1 in the DAG, and start backfills with: airflow backfill create --max-active-runs 1"
    )


def test_the_lock_names_the_run_that_holds_it(account, tmp_path):
    run = run_task(task(path=f"{tmp_path}/"))
    assert run.state == "success"
    assert re.match(r"run \S+ of task \S+\.export, process \d+ on ", (tmp_path / ".lock").read_text())


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
    assert isinstance(raised.value.__context__, InvalidRequestError)
    assert account.requests == []


def test_wrong_token_fails_without_retries(account, monkeypatch, tmp_path):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(account.connection | {"password": "wrong-token"}))
    with pytest.raises(AirflowFailException, match="Put an access token of Sell into the password") as raised:
        export(path=str(tmp_path / "a.jsonl"))
    assert isinstance(raised.value.__context__, AuthenticationError)
    assert list(tmp_path.iterdir()) == []


def test_a_retired_api_fails_without_retries_and_is_named(account, tmp_path):
    account.faults = ["retired"]
    account.clear_requests()
    try:
        with pytest.raises(AirflowFailException, match="Zendesk retires Sell on 2027-08-31"):
            export(path=str(tmp_path / "a.jsonl"))
    finally:
        account.faults = []
    assert len(account.requests) == 1
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
        (
            {"path": "a/", "incremental": True, "created_from": "{{ ds }}"},
            "incremental cannot be combined with created_from and created_until",
        ),
        ({"path": "a.jsonl", "incremental": True}, "incremental requires a folder"),
        ({"path": "a.jsonl", "incremental": True, "full": True}, "incremental, full requires a folder"),
        ({"path": "a.jsonl", "rows_per_file": 5}, "rows_per_file requires a folder"),
        ({"path": "{{ ds }}.csv", "verify_complete": True}, "verify_complete requires a folder"),
        ({"path": "a/", "incremental": "yes"}, "incremental must be true or false, got 'yes'"),
        ({"path": "a/", "verify_complete": 1}, "verify_complete must be true or false, got 1"),
    ],
)
def test_contradictions_are_found_when_the_dag_is_parsed(options, complaint):
    with pytest.raises(InvalidRequestError, match=complaint):
        LeadConversionExportOperator(task_id="export", **options)


@pytest.mark.parametrize("seconds", [-1, "600", None, True, float("nan"), float("inf")])
def test_lock_timeout_is_checked_when_the_dag_is_parsed(seconds):
    with pytest.raises(ValueError, match="lock_timeout must be a number of seconds of at least 0, got "):
        LeadConversionExportOperator(task_id="export", path="a/", lock_timeout=seconds)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"path": "/tmp/a.jsonl", "incremental": True}, "incremental requires a folder"),
        ({"path": "/tmp/a.jsonl", "full": "true"}, "full requires a folder"),
        ({"path": "/tmp/a/", "full": "maybe"}, "full must be true or false"),
        ({"path": "/tmp/a/", "full": "true"}, "full=True requires incremental=True"),
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


# Under Airflow's task runner: templates, retries, XCom


def task(**options):
    return LeadConversionExportOperator(task_id="export", **{"incremental": True, "retries": 1, **options})


def test_result_is_in_xcom(sandbox, tmp_path):
    run = run_task(task(path=f"{tmp_path}/{{{{ ds }}}}/"))
    assert run.state == "success"
    assert run.value == {
        "path": f"{tmp_path}/{datetime.now(UTC):%Y-%m-%d}/",
        "rows": 30,
        "min_id": sandbox.conversions[-1]["id"],
        "max_id": sandbox.conversions[0]["id"],
        "bytes": run.value["bytes"],
        "api_calls": 1,
        "duration_s": run.value["duration_s"],
    }


def test_outage_is_retried_and_a_wrong_token_is_not(sandbox, tmp_path, monkeypatch):
    hasty = sandbox.connection | {"extra": {"timeout": 1, "retry_timeout": 1.5}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(hasty))
    sandbox.faults = ["error_503"]
    run = run_task(task(path=f"{tmp_path}/"))
    assert run.state == "up_for_retry"
    sandbox.faults = []
    run = run_task(task(path=f"{tmp_path}/"), try_number=2, ledger=run.ledger)
    assert (run.state, run.value["rows"]) == ("success", 30)
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(hasty | {"password": "wrong-token"}))
    assert run_task(task(path=f"{tmp_path}/")).state == "failed"
