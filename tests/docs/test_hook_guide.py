from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag
from tests.support.snippets import Page

PAGE = Page("docs/guides/hook.md")


def test_reading(sandbox: Sandbox, tmp_path: Path):
    names = PAGE.run(PAGE.block("python", "list_since"), tmp_path)
    newest = sandbox.conversions[0]
    assert names["newest"].id == newest["id"]
    assert (names["of_the_deal"] and names["of_the_deal"].deal_id) == newest["deal_id"]
    assert [row.id for row in names["since"]] == [
        row["id"] for row in sandbox.conversions if row["id"] > newest["id"] - 1000
    ]
    assert {row.creator_id for row in names["mine"]} == {newest["creator_id"]}


def test_converting_one(sandbox: Sandbox, tmp_path: Path):
    dag = PAGE.dag(PAGE.block("python", "convert_one"), tmp_path)
    lead, (refused,) = sandbox.leads[0], sandbox.add_leads(1, convertible=False)
    assert run_dag(dag, conf={"lead_id": lead})["convert"].value["lead_id"] == lead
    assert "answered 422" in run_dag(dag, conf={"lead_id": refused})["convert"].value


def test_a_lead_in_doubt_is_tried_again(sandbox: Sandbox, tmp_path: Path):
    dag = PAGE.dag(PAGE.block("python", "convert_one"), tmp_path)
    sandbox.faults = ["drop_before,method=POST"]
    run = run_dag(dag, conf={"lead_id": sandbox.leads[0]})["convert"]
    assert (run.state, type(run.error).__name__) == ("up_for_retry", "UnknownOutcomeError")


def test_converting_many(sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    leads = sandbox.leads
    PAGE.run(PAGE.block("python", "def convert_all"), tmp_path)["convert_all"](leads)
    assert capsys.readouterr().out.count(" converted ") == len(leads)
    assert [sandbox.conversion_counts[lead] for lead in leads] == [1] * len(leads)


def test_errors(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    newest_id = PAGE.run(PAGE.block("python", "RateLimitedError"), tmp_path)["newest_id"]
    assert newest_id() == sandbox.conversions[0]["id"]
    with_retry_timeout = {**sandbox.connection, "extra": {"timeout": 1, "retry_timeout": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(with_retry_timeout))
    sandbox.faults = ["throttle_429"]
    assert newest_id() is None
