from __future__ import annotations

from pathlib import Path

from airflow_harness import run_dag
from capabilities import needs_airflow_sdk

from airflow_provider_leadconv.sandbox import Sandbox
from docs.snippets import Page

PAGE = Page("docs/guides/waiting.md")


@needs_airflow_sdk
def test_waiting_for_several(sandbox: Sandbox, tmp_path: Path):
    leads = sandbox.leads[:3]
    dag = PAGE.dag(PAGE.block("python", "LeadConversionSensor"), tmp_path)
    assert run_dag(dag, conf={"leads": leads})["wait"].state == "deferred"
    made = [sandbox.add_conversion(lead) for lead in leads]
    runs = run_dag(dag, conf={"leads": leads})
    assert runs["deals"].value == [row["deal_id"] for row in made if row["deal_id"]], runs
