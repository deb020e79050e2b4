from __future__ import annotations

import json
from configparser import ConfigParser
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import conf

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.bulk_simulation import Server, World, convert
from tests.support.capabilities import needs_airflow_sdk, needs_running_airflow
from tests.support.snippets import Page
from tests.support.standalone import Standalone

PAGE = Page("docs/guides/scaling.md")


@needs_airflow_sdk
def test_the_dag_in_chunks_splits_and_converts(tmp_path: Path):
    dag = PAGE.dag(PAGE.block("python", "split_leads"), tmp_path)
    split, convert = dag.topological_sort()
    assert convert.is_mapped
    assert convert.upstream_task_ids == {split.task_id}


@pytest.mark.slow  # tests/integration/test_examples.py runs mapped chunks in a running Airflow, too
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


def test_what_a_precheck_costs():
    rows = [[int(cell.rstrip(" %")) for cell in row] for row in PAGE.table("leads in a chunk")]
    assert [100 * requests // leads for leads, requests, _ in rows] == [share for _, _, share in rows]
    for leads, requests, _ in rows[:2]:
        server = Server(World(), leads=leads, conversions=10_000, latency=(0.1, 0.1))
        summary = convert(server, server.store.leads, concurrency=16).run.summary
        assert summary.precheck_api_calls == pytest.approx(requests, abs=5)


@needs_airflow_sdk  # before, they had other names
def test_the_settings_of_airflow():
    settings = ConfigParser()
    settings.read_string(PAGE.block("ini", "task_queued_timeout"))
    assert {name: conf.getfloat("scheduler", name) for name in settings["scheduler"]} == {
        name: float(value) for name, value in settings["scheduler"].items()
    }
