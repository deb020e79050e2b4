from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_leadconv.file_formats import COMPRESSIONS, FILE_FORMATS, FileFormat
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag
from tests.support.capabilities import needs_retry_policy
from tests.support.snippets import Page

PAGE = Page("docs/guides/bulk.md")


def test_from_a_file(sandbox: Sandbox, tmp_path: Path):
    leads = sandbox.leads
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads)]))
    runs = run_dag(PAGE.dag(PAGE.block("python", "bucket/leads.csv"), tmp_path))
    assert runs["convert"].value["converted"] == len(leads), runs
    told = [json.loads(line) for line in Path(runs["convert"].value["results_path"]).read_text().splitlines()]
    assert [line["lead_id"] for line in told] == leads
    (fields,) = {frozenset(line) for line in told}
    assert all(f"`{field}`" in PAGE.text for field in fields)


def test_from_a_file_with_other_columns(sandbox: Sandbox, tmp_path: Path):
    block = PAGE.block("python", "crm-export.csv")
    header = block.partition("# ")[2].partition("\n")[0]
    (tmp_path / "crm-export.csv").write_text(f"{header}\nMüller;{sandbox.leads[0]};Ada\n", encoding="cp1252")
    assert run_dag(PAGE.dag(block, tmp_path))["convert"].value["converted"] == 1


def test_from_a_database(sandbox: Sandbox, postgres_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    monkeypatch.setenv("AIRFLOW_CONN_CRM", f"postgres://tester@127.0.0.1:{postgres_port}/postgres")
    database = PostgresHook(postgres_conn_id="crm")
    database.run("DROP TABLE IF EXISTS leads")
    database.run("CREATE TABLE leads (sell_id BIGINT, converted BOOLEAN, rating INTEGER)")
    rows = [(lead, False, rating) for lead, rating in zip(sandbox.leads, range(6), strict=False)]
    database.insert_rows("leads", rows, target_fields=["sell_id", "converted", "rating"])
    runs = run_dag(PAGE.dag(PAGE.block("python", "sql_conn_id"), tmp_path))
    assert runs["convert"].value["converted"] == 2, runs


def test_the_table_of_formats_names_all_extensions():
    for name in FILE_FORMATS:
        assert f"| `{FileFormat(name=name).suffix}`" in PAGE.text
    for compression in COMPRESSIONS:
        assert PAGE.text.count(f"`{FileFormat(compression=compression).suffix.removeprefix('.jsonl')}`") >= 2


def test_from_a_task(sandbox: Sandbox, tmp_path: Path):
    first, second = sandbox.leads[:2]
    code = PAGE.block("python", "choose()").replace("5012001", str(first)).replace("5012002", str(second))
    runs = run_dag(PAGE.dag(code, tmp_path))
    assert runs["convert"].value["converted"] == 2, runs
    deals = {row["lead_id"]: row["deal_id"] for row in sandbox.conversions}
    assert deals[first] is not None
    assert deals[second] is None


@needs_retry_policy
def test_with_the_retry_policy(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "leads.csv").write_text("lead_id\n1\n")
    sandbox.add_token("may-only-read", ["read"])
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "may-only-read"}))
    run = run_dag(PAGE.dag(PAGE.block("python", "LeadConversionRetryPolicy"), tmp_path))["convert"]
    assert (run.state, run.error.__cause__.status_code) == ("failed", 403), "without the policy it is up_for_retry"
