"""Lineage as the real OpenLineage provider writes it to a file, and as Airflow's hook lineage collects it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.openlineage.extractors.manager import ExtractorManager
from airflow.utils.state import TaskInstanceState
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
from openlineage.client.transport.file import FileConfig, FileTransport

from airflow_provider_leadconv.assets import create_asset
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.lineage import to_dataset
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.transfers.leadconv_to_sql import LeadConversionToSqlOperator

ACCOUNT = ("leadconv://leadconv_default", "lead_conversions")
COLUMNS = ["id", "lead_id", "individual_id", "organization_id", "deal_id", "creator_id", "created_at"]


@pytest.fixture
def emitted(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Takes an operator's lineage as OpenLineage's listener does, and reads what it wrote."""
    log = tmp_path / "openlineage.json"

    def emitted(operator: Any) -> dict[str, Any]:
        run = SimpleNamespace(run_id="run")
        state = TaskInstanceState.SUCCESS
        found = ExtractorManager().extract_metadata(run, operator, task_instance_state=state, task_instance=None)
        event = RunEvent(
            eventType=RunState.COMPLETE,
            eventTime="2026-11-23T00:00:00Z",
            run=Run(runId="01939a3c-0000-7000-8000-000000000000"),
            job=Job(namespace="tests", name=operator.task_id),
            producer="https://example.com",
            inputs=found.inputs,
            outputs=found.outputs,
        )
        transport = FileTransport(FileConfig(log_file_path=str(log), append=True))
        OpenLineageClient(transport=transport).emit(event)
        return json.loads(log.read_text().splitlines()[-1])

    return emitted


def names(datasets: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(dataset["namespace"], dataset["name"]) for dataset in datasets]


def rows(dataset: dict[str, Any]) -> int:
    return dataset["outputFacets"]["outputStatistics"]["rowCount"]


def columns(dataset: dict[str, Any]) -> list[str]:
    return [field["name"] for field in dataset["facets"]["schema"]["fields"]]


def test_a_bulk(sandbox: Sandbox, tmp_path: Path, emitted: Callable[..., dict[str, Any]]):
    (tmp_path / "leads.csv").write_text("lead_id\n" + "\n".join(map(str, sandbox.leads[:3])))
    results = str(tmp_path / "results.jsonl")
    operator = LeadConversionBulkOperator(
        task_id="convert", leads_path=str(tmp_path / "leads.csv"), results_path=results
    )
    operator.execute({})
    event = emitted(operator)
    assert names(event["inputs"]) == [("file", str(tmp_path / "leads.csv"))]
    assert names(event["outputs"]) == [ACCOUNT, ("file", results)]
    assert [rows(dataset) for dataset in event["outputs"]] == [3, 3]


def test_an_export(sandbox: Sandbox, tmp_path: Path, emitted: Callable[..., dict[str, Any]]):
    path = tmp_path / "conversions.csv"
    operator = LeadConversionExportOperator(task_id="export", path=str(path))
    operator.execute({})
    event = emitted(operator)
    assert names(event["inputs"]) == [ACCOUNT]
    assert names(event["outputs"]) == [("file", str(path))]
    assert columns(event["inputs"][0]) == columns(event["outputs"][0]) == COLUMNS
    assert rows(event["outputs"][0]) == 30
    assert event["outputs"][0]["outputFacets"]["outputStatistics"]["size"] == path.stat().st_size


def test_the_transfer(
    sandbox: Sandbox, tmp_path: Path, emitted: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    database = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    operator = LeadConversionToSqlOperator(task_id="load", table="conversions", sql_conn_id="warehouse")
    operator.execute({})
    event = emitted(operator)
    assert names(event["inputs"]) == [ACCOUNT]
    (output,) = event["outputs"]
    assert output["name"].endswith("conversions")
    assert columns(output) == COLUMNS
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM conversions").fetchone() == (rows(output),)


def test_a_task_that_failed_early_has_no_data_sets(emitted: Callable[..., dict[str, Any]]):
    event = emitted(LeadConversionExportOperator(task_id="export", path="/nowhere/a.csv"))
    assert (event["inputs"], event["outputs"]) == ([], [])


def test_object_stores_are_named_without_airflows_connection(
    sandbox: Sandbox, bucket: Any, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
):
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"endpoint_url": s3_endpoint}}
    monkeypatch.setenv("AIRFLOW_CONN_MY_CONN", json.dumps(connection))
    name = bucket.path.strip("/")
    operator = LeadConversionExportOperator(task_id="export", path=f"s3://my_conn@{name}/sell/a.csv")
    operator.execute({})
    (output,) = operator.get_openlineage_facets_on_complete(None).outputs
    assert (output.namespace, output.name) == (f"s3://{name}", "sell/a.csv")


def test_the_hook_collects_lineage(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    reported: list[tuple[str, str, dict[str, str]]] = []

    class Collector:
        def add_input_asset(self, *, context, scheme, asset_kwargs):
            reported.append(("in", scheme, asset_kwargs))

        def add_output_asset(self, *, context, scheme, asset_kwargs):
            reported.append(("out", scheme, asset_kwargs))

    monkeypatch.setattr("airflow.providers.common.compat.lineage.hook.get_hook_lineage_collector", Collector)
    hook = LeadConversionHook()
    list(hook.list_conversions(limit=1))
    hook.convert_lead(sandbox.leads[0])
    account = {"account": "leadconv_default"}
    assert reported == [("in", "leadconv", account), ("out", "leadconv", account)]


def test_an_asset_is_the_same_data_set():
    dataset = to_dataset(create_asset(account="emea"), None)
    assert (dataset.namespace, dataset.name) == ("leadconv://emea", "lead_conversions")
