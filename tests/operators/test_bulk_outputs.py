"""What a bulk conversion leaves behind, in Airflow's own task runner, against the sandbox."""

from __future__ import annotations

import json
import uuid

import fsspec
import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, ObjectStoragePath, task

from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.bulk_outputs import CREATED_IDS
from airflow_provider_leadconv.results import read_results
from tests.support.airflow_harness import run_dag, run_task
from tests.support.exports import FORMATS, rows_in

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

SUFFIXES = [file_format.suffix for file_format in FORMATS]


@pytest.fixture(autouse=True)
def _quick(sandbox, monkeypatch, full_rate):
    # A busy machine must not turn a refusal into an unknown outcome.
    extra = {"timeout": 5, "settle_time": 0.2, "requests_per_second": 500}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "extra": extra}))


def bulk(**options):
    return LeadConversionBulkOperator(task_id="convert", **options)


def rows_of(path):
    return rows_in(path.read_bytes(), path.name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_results_and_failures_in_every_format(sandbox, tmp_path, suffix):
    refused = sandbox.add_leads(2, convertible=False)
    good = sandbox.leads[0]
    leads = [good, *({"lead_id": lead, "create_deal": False} for lead in refused)]
    results, failures = tmp_path / f"results{suffix}", tmp_path / f"failures{suffix}"
    run = run_task(bulk(leads=leads, results_path=str(results), failures_path=str(failures)))
    assert isinstance(run.error, AirflowFailException)
    assert f"Per-lead results: {results}\nLeads that were not converted: {failures}" in str(run.error)
    assert [(each.lead_id, str(each.status)) for each in read_results(str(results))] == [
        (good, "converted"),
        *((lead, "failed") for lead in refused),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"failures{suffix}", f"results{suffix}"]
    rows = rows_of(failures)
    assert [int(row["lead_id"]) for row in rows] == refused
    assert [row["link"].rpartition("/leads/")[2] for row in rows] == [str(lead) for lead in refused]
    assert {row["reason"].partition(" (request id")[0] for row in rows} == {
        "the API answered 422: /data/lead_id: incorrect_value: The lead cannot be converted"
    }


def test_failures_are_run_again_with_their_settings(sandbox, tmp_path):
    refused = sandbox.add_leads(2, convertible=False)
    path = tmp_path / "failures.csv"
    run_task(bulk(leads=[{"lead_id": lead, "create_deal": False} for lead in refused], failures_path=str(path)))
    again = run_task(bulk(leads_path=str(path)))
    assert again.ledger.xcom("convert", "summary")["failed"] == 2
    posts = [json.loads(request.body)["data"] for request in sandbox.requests if request.method == "POST"]
    assert [post["create_deal"] for post in posts] == [False] * 4


@pytest.mark.parametrize("suffix", [".csv.gz", ".parquet"])
def test_a_retry_continues_from_results_in_every_format(sandbox, tmp_path, suffix):
    path = tmp_path / f"results{suffix}"
    leads = sandbox.leads[:4]
    refused = sandbox.add_leads(1, convertible=False)
    options = {"leads": [*leads, *refused], "results_path": str(path), "failures_path": str(tmp_path / "f.csv")}
    run_task(bulk(**options))
    run = run_task(bulk(**options, max_failures=1), try_number=2)
    assert (run.state, run.value["converted"], run.value["failed"]) == ("success", 4, 1)
    assert [str(each.status) for each in read_results(str(path))] == ["converted"] * 4 + ["failed"]
    assert [int(row["lead_id"]) for row in rows_of(tmp_path / "f.csv")] == refused


def test_without_failures_the_file_has_a_header_only_and_gives_no_leads(sandbox, tmp_path):
    path = tmp_path / "failures.csv"
    run = run_task(bulk(leads=sandbox.leads[:1], failures_path=str(path)))
    assert (run.state, run.value["failures_path"], run.value["failures"]) == ("success", str(path), [])
    assert path.read_text().splitlines() == ["lead_id,reason,http_status,field,link,status,owner_id,create_deal,run"]
    again = run_task(bulk(leads_path=str(path)))
    assert (again.state, again.value["leads"]) == ("success", 0)


def test_a_task_that_stops_has_all_leads_among_its_failures(sandbox, tmp_path, monkeypatch):
    sandbox.add_token("reader", ["read"])
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "reader"}))
    run = run_task(bulk(leads=sandbox.leads, failures_path=str(tmp_path / "failures.jsonl")))
    assert run.state == "failed"
    rows = rows_of(tmp_path / "failures.jsonl")
    assert [row["lead_id"] for row in rows] == sandbox.leads
    assert {row["status"] for row in rows} == {"not_attempted"}
    assert all("connection" not in row["reason"] for row in rows)


def test_failures_are_replaced_only_by_a_complete_file(sandbox, tmp_path):
    path = tmp_path / "failures.csv"
    path.write_text("the earlier run's")
    task = bulk(leads=sandbox.leads, failures_path=str(path))
    task.on_kill()
    assert run_task(task).state != "success"
    assert path.read_text() == "the earlier run's"


def test_both_files_in_an_object_store(sandbox):
    attach("memory", fs=fsspec.filesystem("memory"))
    folder = ObjectStoragePath(f"memory://bucket/{uuid.uuid4().hex}")
    leads = [sandbox.leads[0], *sandbox.add_leads(1, convertible=False)]
    options = {"results_path": f"{folder}/r.parquet", "failures_path": f"{folder}/f.csv.gz", "max_failures": 1}
    assert run_task(bulk(leads=leads, **options)).state == "success"
    assert sorted(path.name for path in folder.iterdir()) == ["f.csv.gz", "r.parquet"]
    assert [each.lead_id for each in read_results(f"{folder}/r.parquet")] == leads
    again = run_task(bulk(leads_path=f"{folder}/f.csv.gz", max_failures=1))
    assert (again.value["leads"], again.value["failed"]) == (1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"results_path": "{}/r.txt"},
            "results_path must end in .jsonl or .csv (each also with .gz or .zst) or .parquet",
        ),
        ({"results_path": "{}/r"}, "results_path must end in .jsonl"),
        ({"results_path": "{}/r.parquet.gz"}, "results_path must end in .jsonl"),
        ({"failures_path": "{}/f.xlsx"}, "failures_path must end in .jsonl"),
        ({"failures_path": "{}"}, "failures_path must name a file, not a folder"),
        ({"failures_path": "{}/r.csv", "results_path": "{}/r.csv"}, "failures_path and results_path are the same file"),
        ({"failures_path": "/sys/x/f.csv"}, "cannot use failures_path /sys/x/f.csv"),
    ],
)
def test_an_unusable_path_fails_before_any_request(sandbox, tmp_path, options, message):
    paths = {name: path.format(tmp_path) for name, path in options.items()}
    run = run_task(bulk(leads=sandbox.leads, **paths))
    assert isinstance(run.error, AirflowFailException)
    assert message in str(run.error)
    assert sandbox.requests == []
    assert list(tmp_path.iterdir()) == []


# XComs


def test_each_value_of_the_summary_is_an_output(sandbox, tmp_path):
    shown = []

    @task
    def show(results_path, converted):
        shown.append((results_path, converted))

    with DAG("outputs", schedule=None) as dag:
        convert = bulk(leads=sandbox.leads[:2], results_path=str(tmp_path / "r.csv"))
        show(results_path=convert.output["results_path"], converted=convert.output["converted"])
    run = run_dag(dag)["convert"]
    assert shown == [(str(tmp_path / "r.csv"), 2)]
    summary = run.ledger.xcom("convert", "summary")
    assert summary["failures_path"] is None
    assert {key: run.ledger.xcom("convert", key) for key in summary} == summary
    assert {key: run.value.get(key) for key in summary} == summary


@pytest.mark.parametrize("with_results", [True, False])
def test_the_created_ids_are_an_xcom(sandbox, tmp_path, with_results):
    options = {"results_path": str(tmp_path / "r.jsonl")} if with_results else {}
    existing = sandbox.add_conversion(sandbox.leads[1])
    leads = [*sandbox.leads[:3], *sandbox.add_leads(1, convertible=False)]
    run = run_task(bulk(leads=leads, push_created_ids=True, max_failures=1, **options))
    conversions = {each["lead_id"]: each for each in sandbox.conversions}
    assert run.ledger.xcom("convert", "created_ids") == [
        {
            "lead_id": lead,
            "status": "existing" if lead == existing["lead_id"] else "converted",
            "conversion_id": conversions[lead]["id"],
            **{name: conversions[lead][name] for name in CREATED_IDS[3:]},
        }
        for lead in leads[:3]
    ]
    assert "created_ids" not in run.value
    assert len(json.dumps(run.value)) < 4096


def test_a_retry_has_the_created_ids_of_all_tries(sandbox, tmp_path):
    options = {"results_path": str(tmp_path / "r.jsonl"), "push_created_ids": True}
    refused = sandbox.add_leads(1, convertible=False)
    leads = [*sandbox.leads[:2], *refused]
    first = run_task(bulk(leads=leads, **options))
    assert first.state == "failed"
    second = run_task(bulk(leads=leads, max_failures=1, **options), try_number=2)
    assert second.ledger.xcom("convert", "created_ids") == first.ledger.xcom("convert", "created_ids")
    assert [row["lead_id"] for row in second.ledger.xcom("convert", "created_ids")] == leads[:2]


def test_created_ids_are_not_pushed_without_being_asked_for(sandbox):
    run = run_task(bulk(leads=sandbox.leads[:1]))
    assert run.ledger.xcom("convert", "created_ids") is None


def test_too_many_leads_for_created_ids_fail_before_any_request(sandbox):
    run = run_task(bulk(leads=list(range(1, 1002)), push_created_ids=True))
    assert isinstance(run.error, AirflowFailException)
    assert "push_created_ids is for at most 1,000 leads, got 1,001; read the ids from results_path" in str(run.error)
    assert sandbox.requests == []


def test_the_switch_of_created_ids_is_strict():
    with pytest.raises(ValueError, match="push_created_ids must be true or false, got 'maybe'"):
        bulk(leads=[1], push_created_ids="maybe")
