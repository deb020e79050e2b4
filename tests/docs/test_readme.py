"""Every snippet of the README is run, every message of its troubleshooting table is provoked or found in the source."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from airflow_harness import run_dag
from capabilities import needs_airflow_sdk, needs_asset_watchers

from airflow_provider_leadconv import metrics
from airflow_provider_leadconv.connection_form import EXTRA_FIELDS
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.jobs.news import payload
from airflow_provider_leadconv.sandbox import Sandbox
from docs.snippets import REPO, Page, TriggeringEvents, shell

PAGE = Page("README.md")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_two_commands_are_there():
    makefile = (REPO / "Makefile").read_text()
    for line in PAGE.block("bash", "make demo").splitlines():
        assert re.search(rf"^{line.removeprefix('make ')}:", makefile, re.MULTILINE)


def test_installing():
    # A whole installation is in integration/test_packaging.py.
    assert PAGE.block("bash", "pip install").split() == ["pip", "install", "."]
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"pip install '\.\[(\w+)\]'", PAGE.text)) == set(extras)


def test_a_connection_as_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    uri = shell(PAGE.block("bash", "AIRFLOW_CONN") + 'printf %s "$AIRFLOW_CONN_LEADCONV_DEFAULT"', tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", uri)
    config = LeadConversionHook().get_conn().config
    assert (config.token, config.base_url) == ("my-access-token", "https://api.getbase.com")


def test_a_connection_as_json(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", PAGE.block("json", "conn_type"))
    config = LeadConversionHook().get_conn().config
    assert (config.token, config.requests_per_second, config.settle_time) == ("my-access-token", 5, 60)


def test_the_table_of_extra_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", '{"conn_type": "leadconv", "password": "my-access-token"}')
    config = LeadConversionHook().get_conn().config
    rows = {key.strip("`"): default.strip("`") for key, default, _ in PAGE.table("key of extra")}
    assert list(rows) == list(EXTRA_FIELDS)
    in_words = {"proxy": "from the environment", "account": "the connection id"}
    for key, default in rows.items():
        value = getattr(config, key)
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        assert default == in_words.get(key, shown.lower())


@needs_airflow_sdk
def test_converting_in_bulk(sandbox: Sandbox, tmp_path: Path):
    leads = sandbox.leads
    with (tmp_path / "leads.csv").open("w") as file:
        csv.writer(file).writerows([["lead_id", "owner_id"], *([lead, sandbox.owners[0]] for lead in leads)])
    runs = run_dag(PAGE.dag(PAGE.block("python", "LeadConversionBulkOperator"), tmp_path))
    assert runs["convert"].value["converted"] == len(leads), runs
    assert len(json.dumps(runs["convert"].value)) < 1024
    assert [row["lead_id"] for row in lines(Path(runs["convert"].value["results_path"]))] == leads
    assert [sandbox.conversion_counts[lead] for lead in leads] == [1] * len(leads)


def exported_rows(folder: Path) -> int:
    return sum(len(lines(part)) for part in folder.glob("*.jsonl"))


@needs_airflow_sdk
def test_exporting(sandbox: Sandbox, tmp_path: Path):
    dag = PAGE.dag(PAGE.block("python", "export_conversions"), tmp_path)
    assert run_dag(dag)["export"].state == "success"
    sandbox.add_conversion()
    assert run_dag(dag)["export"].state == "success"
    assert exported_rows(tmp_path / "conversions") == len(sandbox.conversions) == 31
    assert (tmp_path / "conversions" / "_manifest.json").exists()


@needs_airflow_sdk
def test_exporting_to_sql(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    runs = run_dag(PAGE.dag(PAGE.block("python", "LeadConversionToSqlOperator"), tmp_path))
    assert runs["load"].state == "success", runs
    with closing(sqlite3.connect(database)) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM lead_conversions ORDER BY id DESC")]
    assert ids == [conversion["id"] for conversion in sandbox.conversions]


@needs_airflow_sdk
def test_the_last_export(sandbox: Sandbox, tmp_path: Path):
    runs = run_dag(PAGE.dag(PAGE.block("python", "verify_complete"), tmp_path))
    assert runs["export"].value["rows"] == exported_rows(tmp_path / "last") == len(sandbox.conversions), runs


@needs_airflow_sdk
def test_waiting(sandbox: Sandbox, tmp_path: Path):
    made = sandbox.add_conversion()
    runs = run_dag(PAGE.dag(PAGE.block("python", "LeadConversionSensor"), tmp_path), conf={"lead_id": made["lead_id"]})
    assert runs["wait"].value["id"] == made["id"], runs
    assert str(made["individual_id"] or made["organization_id"]) in runs["greet"].value


@needs_asset_watchers
def test_starting_a_dag_on_conversions(sandbox: Sandbox, tmp_path: Path):
    names = PAGE.run(PAGE.block("python", "lead_conversions_asset"), tmp_path)
    events = TriggeringEvents(names["conversions"], payload(list(LeadConversionHook().list_conversions())[::-1]))
    deals = names["dag"].task_dict["deals"].python_callable
    expected = [row["deal_id"] for row in reversed(sandbox.conversions) if row["deal_id"]]
    assert deals(triggering_asset_events=events) == expected


@needs_airflow_sdk
def test_converting_in_a_task_of_ones_own(sandbox: Sandbox, tmp_path: Path):
    lead = sandbox.leads[0]
    runs = run_dag(PAGE.dag(PAGE.block("python", "convert_lead(params"), tmp_path), conf={"lead_id": lead})
    assert runs["convert"].state == "success", runs
    (made,) = [row for row in sandbox.conversions if row["lead_id"] == lead]
    assert (made["individual_id"], made["deal_id"]) == (runs["convert"].value, None)


def test_the_sandbox_as_a_program():
    command = PAGE.block("bash", "-m airflow_provider_leadconv.sandbox").split()
    command[0], command[command.index("--port") + 1] = sys.executable, "0"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Base URL:")
        process.terminate()


def test_the_sandbox_in_a_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", "")
    PAGE.run(PAGE.block("python", "drop_after"), tmp_path)


def test_the_fixtures(leadconv_sandbox: Sandbox, leadconv_connection: dict, tmp_path: Path):
    names = PAGE.run(PAGE.block("python", "leadconv_connection"), tmp_path)
    names["test_a_conversion"](leadconv_sandbox, leadconv_connection)


def test_the_metrics():
    named = set(re.findall(r"`leadconv\.(\w+)`", PAGE.text))
    assert named == set(metrics.NAMES)


def wrong_token(sandbox: Sandbox) -> dict:
    return {"password": "of-another-product"}


def write_only(sandbox: Sandbox) -> dict:
    sandbox.add_token("write-only", ["write"])
    return {"password": "write-only"}


def wrong_path(sandbox: Sandbox) -> dict:
    return {"host": f"{sandbox.base_url}/crm", "port": None, "schema": None}


def nobody_listens(sandbox: Sandbox) -> dict:
    sandbox.stop()
    return {"extra": {"timeout": 1, "retry_timeout": 1}}


def plain_http(sandbox: Sandbox) -> dict:
    return {"host": "api.example.com", "port": None}


def misspelt(sandbox: Sandbox) -> dict:
    return {"extra": {"time_out": 3}}


FAULTS: dict[str, Callable[[Sandbox], dict]] = {
    "the API answered 401": wrong_token,
    "the API answered 403": write_only,
    "the API answered 404": wrong_path,
    "no connection to": nobody_listens,
    "plain http to": plain_http,
    "unknown key": misspelt,
}
SOURCE = "".join(path.read_text() for path in (REPO / "airflow_provider_leadconv").rglob("*.py"))


@pytest.mark.parametrize("message", [row[0].strip("`") for row in PAGE.table("message")])
def test_troubleshooting(message: str, monkeypatch: pytest.MonkeyPatch):
    if message not in FAULTS:
        assert message in SOURCE
        return
    with Sandbox(conversions=1) as sandbox:
        connection = {**sandbox.connection, **FAULTS[message](sandbox)}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        worked, said = LeadConversionHook().test_connection()
    assert not worked
    assert message in said
