from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import mean

import pytest
from airflow_harness import run_dag
from api.pacing_simulation import simulate
from capabilities import needs_airflow_sdk

from airflow_provider_leadconv.api.pacing import AdaptivePacer
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.sandbox.ratelimits import FixedWindow, SlidingWindow, TokenBucket
from docs.snippets import Page, shell

PAGE = Page("docs/pacing.md")
LIMITS = (TokenBucket, FixedWindow, SlidingWindow)


@pytest.mark.parametrize("row", PAGE.table("processes"), ids=lambda row: row[0])
def test_the_figures(row: list[str]):
    """Three seeds come near the mean of 32."""
    processes, *figures = [float(cell.removesuffix("%")) for cell in row]
    for limit, served, refused in zip(LIMITS, figures[:3], figures[3:], strict=True):
        runs = [simulate(limit(10.0), int(processes), seed=seed) for seed in range(3)]
        assert mean(run.goodput() for run in runs) == pytest.approx(served, abs=0.3)
        assert 100 * mean(run.rejected() for run in runs) == pytest.approx(refused, abs=2.0)


def test_they_are_those_of_the_docstring():
    told = re.findall(r"^ *(\d+) +(\d.*)$", AdaptivePacer.__doc__ or "", re.MULTILINE)
    pairs = {processes: re.findall(r"([\d.]+) +([\d.]+ %)", figures) for processes, figures in told}
    shown = {row[0]: list(zip(row[1:4], row[4:], strict=True)) for row in PAGE.table("processes")}
    assert shown == pairs
    assert list(shown) == ["1", "2", "4", "8", "16"]


def test_a_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", PAGE.block("json", "requests_per_second"))
    assert LeadConversionHook().get_conn().config.requests_per_second * 4 == 10


@pytest.mark.airflow
def test_a_pool(airflow_home: Path):
    script = PAGE.block("bash", "airflow pools set") + "airflow pools get sell --output json"
    shown = shell(script, airflow_home, AIRFLOW_HOME=str(airflow_home))
    (pool,) = json.loads(shown[shown.rindex("[{") :])
    assert (pool["pool"], str(pool["slots"])) == ("sell", "4")


@needs_airflow_sdk
def test_taking_turns(sandbox: Sandbox, tmp_path: Path):
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, sandbox.leads)]))
    dag = PAGE.dag(PAGE.block("python", "pool="), tmp_path)
    assert dag.task_dict["convert"].pool == "sell"
    assert run_dag(dag)["convert"].value["converted"] == 20
