from __future__ import annotations

import json
import os
import re
from pathlib import Path
from statistics import mean

import pytest

from airflow_provider_leadconv.api.rate_limiting.adaptive import AdaptiveRate
from airflow_provider_leadconv.api.rate_limiting.host_state import encoded
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.api.rate_limiting.private_folder import state_folder
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.sandbox.settings import FixedWindow, SlidingWindow, TokenBucket
from tests.support.airflow_harness import run_dag
from tests.support.capabilities import needs_airflow_sdk
from tests.support.rate_simulation import on_hosts, simulate
from tests.support.snippets import Page, shell

PAGE = Page("docs/rate-limiting.md")
LIMITS = (TokenBucket, FixedWindow, SlidingWindow)


@pytest.mark.parametrize("row", PAGE.table("processes"), ids=lambda row: row[0])
def test_the_figures(row: list[str]):
    """Three seeds come near the mean."""
    processes, *figures = [float(cell.removesuffix("%")) for cell in row]
    for limit, served, refused in zip(LIMITS, figures[:3], figures[3:], strict=True):
        runs = [simulate(limit(10.0), int(processes), seed=seed) for seed in range(3)]
        assert mean(run.goodput() for run in runs) == pytest.approx(served, abs=0.3)
        assert 100 * mean(run.rejected() for run in runs) == pytest.approx(refused, abs=2.0)


@pytest.mark.parametrize("row", PAGE.table("sharing a host"), ids=lambda row: row[0])
def test_the_figures_of_hosts(row: list[str]):
    processes, hosts = map(int, re.findall(r"\d+", row[0]))
    served, rejected = row[1:4], row[4:]
    for limit, rate, share in zip(LIMITS, served, rejected, strict=True):
        run = simulate(limit(10.0), processes, make_limiter=on_hosts(processes // hosts), seed=1)
        assert run.goodput() == pytest.approx(float(rate), abs=0.3)
        assert 100 * run.rejected() == pytest.approx(float(share.removesuffix("%")), abs=2.0)


def test_they_are_those_of_the_docstring():
    told = re.findall(r"^ *(\d+) +(\d.*)$", AdaptiveRateLimiter.__doc__ or "", re.MULTILINE)
    pairs = {processes: re.findall(r"([\d.]+) +([\d.]+ %)", figures) for processes, figures in told}
    shown = {row[0]: list(zip(row[1:4], row[4:], strict=True)) for row in PAGE.table("processes")}
    assert shown == pairs
    assert list(shown) == ["1", "2", "4", "8", "16"]


@pytest.mark.parametrize("limit", LIMITS)
def test_about_half_of_the_rejections_of_four_hosts_are_at_the_start(limit):
    run = simulate(limit(10.0), 16, make_limiter=on_hosts(4), seed=1)
    rejected = [arrival.at for arrival in run.arrivals if not arrival.accepted]
    assert sum(at < 30.0 for at in rejected) / len(rejected) == pytest.approx(0.5, abs=0.15)
    assert run.rejected(30.0) == pytest.approx(0.03, abs=0.01)


def test_the_drawing_has_a_permit_for_each_process():
    drawing = PAGE.block("text", "host A")
    assert drawing.count("1 permit") == drawing.count("worker") + drawing.count("triggerer") == 4
    assert drawing.count("one rate") == drawing.count("host ") == 2
    assert {len(line) for line in drawing.splitlines()[1:-3]} == {len(drawing.splitlines()[1])}


def test_the_file(monkeypatch: pytest.MonkeyPatch):
    size = len(encoded(AdaptiveRate(10.0)))
    monkeypatch.delenv("LEADCONV_STATE_DIR")
    folder = str(state_folder()).replace(str(os.geteuid()), "<uid>")
    assert f"a file of {size} bytes in `{folder}`" in PAGE.text


def test_a_share(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", PAGE.block("json", "requests_per_second"))
    assert LeadConversionHook().get_conn().config.requests_per_second * 4 == 10


@pytest.mark.airflow
@pytest.mark.slow
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
