from __future__ import annotations

import json
from pathlib import Path

import pytest
from airflow_harness import run_dag
from capabilities import needs_airflow_sdk, needs_retry_policy

from airflow_provider_leadconv.sandbox import Sandbox
from docs.snippets import Page

PAGE = Page("docs/guides/bulk.md")


@needs_airflow_sdk
def test_from_a_file(sandbox: Sandbox, tmp_path: Path):
    leads = sandbox.leads
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads)]))
    runs = run_dag(PAGE.dag(PAGE.block("python", "bucket/leads.csv"), tmp_path))
    assert runs["convert"].value["converted"] == len(leads), runs
    told = [json.loads(line) for line in Path(runs["convert"].value["results_path"]).read_text().splitlines()]
    assert [line["lead_id"] for line in told] == leads
    (fields,) = {frozenset(line) for line in told}
    assert all(f"`{field}`" in PAGE.text for field in fields)


@needs_airflow_sdk
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
    assert (run.state, run.error.__cause__.status) == ("failed", 403), "without the policy it is up_for_retry"
