"""Every snippet of the README is run, and every figure in it is one that was measured or is configured."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from contextlib import closing
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.models import ConversionStatus
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import TaskRun, run_dag, run_task
from tests.support.capabilities import VERSIONS, as_text, needs_airflow_sdk, needs_asset_watchers
from tests.support.snippets import REPO, Page, shell

PAGE = Page("README.md")
BENCHMARKS = Page("docs/benchmarks.md")
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
PORT = "8377"


def run_operator(code: str, folder: Path, task_id: str) -> TaskRun:
    """Run the operator of a snippet that has no DAG around it."""
    in_dag = "from airflow.sdk import DAG\nwith DAG('snippet', schedule=None) as dag:\n"
    names = PAGE.run(in_dag + re.sub(r"^", "    ", code, flags=re.MULTILINE), folder)
    return run_task(names["dag"].task_dict[task_id])


def test_the_two_commands_are_there():
    makefile = (REPO / "Makefile").read_text()
    for line in PAGE.block("bash", "make demo").splitlines():
        assert re.search(rf"^{line.removeprefix('make ')}:", makefile, re.MULTILINE)


def test_installing():
    # A whole installation is in integration/test_packaging.py.
    clone, enter, install = map(shlex.split, PAGE.block("bash", "pip install").splitlines())
    assert clone == ["git", "clone", PROJECT["urls"]["Source"]]
    assert enter == ["cd", PROJECT["urls"]["Source"].rpartition("/")[2]]
    *command, package, airflow, option, constraints = install
    assert [*command, option] == ["pip", "install", "--constraint"]
    assert package == ".[sandbox]"
    pins = (REPO / constraints).read_text()
    assert Requirement(airflow).specifier.contains(re.findall(r"^apache-airflow==(.+)$", pins, re.MULTILINE)[0])


def test_the_extras_are_those_of_the_package():
    (sentence,) = re.findall(r"Extras: (.*?)\.\n", PAGE.text, re.DOTALL)
    assert set(re.findall(r"`([\w-]+)`", sentence)) == set(PROJECT["optional-dependencies"])


def test_the_versions_are_those_of_the_matrix():
    oldest, newest = as_text(VERSIONS[0]), as_text(VERSIONS[-1])
    assert f"Airflow {oldest} to {newest}" in PAGE.text
    pythons = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert f"Python {pythons[0]} to {pythons[-1]}" in PAGE.text


def cells(table: str, contestant: str) -> list[str]:
    (row,) = [row for row in BENCHMARKS.table(table) if contestant in row]
    return row


def test_the_comparison_has_the_measured_figures():
    bulk, export, waiting = (
        "bulk, 10 requests/s allowed, token bucket, 200 ms",
        "export of 1,000,000 rows",
        "waiting leads",
    )
    awaited = {row[1]: row[2] for row in BENCHMARKS.table(waiting) if row[0] == "1,000"}
    theirs, ours = cells(bulk, "HttpOperator"), cells(bulk, "ours")
    measured = [
        [theirs[4], ours[4]],
        [f"{float(share.rstrip('%')):.0f} %" for share in (theirs[1], ours[1])],
        [f"{cells(export, name)[3]} MB" for name in ("HttpOperator", "ours, JSONL")],
        [awaited["HttpSensor, deferrable"], awaited["ours"]],
    ]
    assert [row[1:] for row in PAGE.table("measured")] == measured


def test_every_status_is_named():
    assert all(f"`{status}`" in PAGE.text for status in ConversionStatus)


def test_the_default_of_settle_time():
    assert f"`settle_time` ({ClientConfig(token='t').settle_time:g} s by default)" in PAGE.text


def test_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    uri = shell(PAGE.block("bash", "my-access-token") + 'printf %s "$AIRFLOW_CONN_LEADCONV_DEFAULT"', tmp_path)
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", uri)
    config = LeadConversionHook().get_conn().config
    assert (config.token, config.base_url) == ("my-access-token", "https://api.getbase.com")


def test_converting_in_bulk(sandbox: Sandbox, tmp_path: Path):
    leads = sandbox.leads
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads)]))
    runs = run_dag(PAGE.dag(PAGE.block("python", "results_path"), tmp_path))
    assert runs["convert"].value["converted"] == len(leads), runs
    lines = Path(runs["convert"].value["results_path"]).read_text().splitlines()
    assert [json.loads(line)["lead_id"] for line in lines] == leads
    assert [sandbox.conversion_counts[lead] for lead in leads] == [1] * len(leads)


@pytest.mark.airflow
@needs_airflow_sdk
def test_trying_it_by_hand(tmp_path: Path):
    """To the letter, except for the port of the sandbox."""
    start, *prepare = PAGE.block("bash", "sandbox.txt &").splitlines(keepends=True)
    command = [sys.executable, *shlex.split(start.partition(">")[0])[1:], "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            (tmp_path / "sandbox.txt").write_text("".join(process.stdout.readline() for _ in range(3)))
            shell("".join(prepare), tmp_path)
            (tmp_path / "airflow" / "dags" / "convert_leads.py").write_text(PAGE.block("python", "results_path"))
            script = PAGE.block("bash", "airflow dags test")
            before, migrate, after = script.partition("airflow db migrate\n")
            shell(before + migrate, tmp_path)
            shown = shell(before + after, tmp_path)
        finally:
            process.terminate()
    rows = [json.loads(line) for line in shown.splitlines() if line.startswith('{"lead_id":')]
    assert [row["status"] for row in rows] == ["converted"] * 3


def test_a_dry_run(sandbox: Sandbox, tmp_path: Path):
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, sandbox.leads)]))
    run = run_operator(PAGE.block("python", "dry_run"), tmp_path, "check")
    assert (run.value["would_convert"], len(sandbox.conversions)) == (20, 30), run


def test_exporting(sandbox: Sandbox, tmp_path: Path):
    run = run_operator(PAGE.block("python", "LeadConversionExportOperator"), tmp_path, "export")
    assert run.value["rows"] == len(sandbox.conversions) == 30, run
    assert (tmp_path / "conversions" / "_manifest.json").exists()


def test_loading_into_sql(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    database = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(database)}))
    run = run_operator(PAGE.block("python", "LeadConversionToSqlOperator"), tmp_path, "load")
    assert run.state == "success", run
    with closing(sqlite3.connect(database)) as connection:
        ids = [row[0] for row in connection.execute("SELECT id FROM lead_conversions ORDER BY id DESC")]
    assert ids == [conversion["id"] for conversion in sandbox.conversions]


def test_waiting(sandbox: Sandbox, tmp_path: Path):
    lead, other = sandbox.leads[:2]
    code = PAGE.block("python", "LeadConversionSensor").replace("5012001, 5012002", f"{lead}, {other}")
    assert run_operator(code, tmp_path, "wait").state == "deferred"
    made = [sandbox.add_conversion(waited) for waited in (lead, other)]
    assert [row["id"] for row in run_operator(code, tmp_path, "wait").value] == [row["id"] for row in made]


@needs_asset_watchers
def test_starting_a_dag_on_conversions(tmp_path: Path):
    names = PAGE.run("from airflow.sdk import DAG\n" + PAGE.block("python", "lead_conversions_asset"), tmp_path)
    conversions = names["conversions"]
    assert conversions in names["dag"].timetable.asset_condition.objects
    assert conversions.watchers[0].trigger.poll_interval == 30


def test_calling_the_hook(sandbox: Sandbox):
    (call,) = re.findall(r"`(LeadConversionHook\(\)\..*?)`", PAGE.text)
    result = eval(call.replace("5012001", str(sandbox.leads[0])), {"LeadConversionHook": LeadConversionHook})
    assert result.status == "converted"
