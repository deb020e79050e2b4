from __future__ import annotations

import json
from configparser import ConfigParser
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import conf
from capabilities import needs_airflow_sdk, needs_running_airflow
from integration.standalone import Standalone

from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.sandbox import Sandbox
from docs.snippets import Page

PAGE = Page("docs/guides/scaling.md")


@pytest.mark.airflow
@needs_running_airflow
def test_in_chunks(tmp_path: Path):
    dags, folder = tmp_path / "dags", tmp_path / "data"
    for made in (dags, folder):
        made.mkdir()
    code = PAGE.block("python", "split_leads").replace("chunk_size=1000", "chunk_size=5")
    (dags / "snippet.py").write_text(code.replace("/data/", f"{folder}/"))
    with Sandbox(leads=12) as sandbox, Standalone(tmp_path / "airflow", sandbox.connection, dags) as airflow:
        leads = sandbox.leads
        (folder / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads)]))
        states = airflow.run_dag("convert_in_chunks", {})
        assert set(states.values()) == {"success"}, airflow.console.read_text(errors="replace")[-4000:]
        assert sandbox.conversion_counts == dict.fromkeys(leads, 1)
    results = sorted(folder.glob("results/*/*.jsonl"))
    told = [[json.loads(line)["lead_id"] for line in path.read_text().splitlines()] for path in results]
    assert told == [leads[:5], leads[5:10], leads[10:]]


def test_what_a_look_costs(monkeypatch: pytest.MonkeyPatch):
    rows = [[int(cell.rstrip(" %")) for cell in row] for row in PAGE.table("leads in a chunk")]
    assert [100 * requests // leads for leads, requests, _ in rows] == [share for _, _, share in rows]
    with Sandbox(leads=100, conversions=10_000) as sandbox:
        connection = {**sandbox.connection, "extra": {"requests_per_second": 1000}}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        told = LeadConversionBulkOperator(task_id="look", leads=sandbox.leads, dry_run=True).execute({})
    assert (told["leads"], told["look_api_calls"]) == tuple(rows[0][:2])


@needs_airflow_sdk  # before, they had other names
def test_the_settings_of_airflow():
    settings = ConfigParser()
    settings.read_string(PAGE.block("ini", "task_queued_timeout"))
    assert {name: conf.getfloat("scheduler", name) for name in settings["scheduler"]} == {
        name: float(value) for name, value in settings["scheduler"].items()
    }
