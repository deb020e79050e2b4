from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_leadconv.assets import asset_uri, lead_conversions_asset
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.capabilities import needs_asset_watchers, needs_batching, needs_durable_events
from tests.support.snippets import Page, TriggeringEvents, shell
from tests.support.standalone import Standalone

PAGE = Page("docs/guides/events.md")
RUNS = "/api/v2/dags/on_conversions/dagRuns"


async def next_event(trigger: Any, sandbox: Sandbox) -> dict:
    """What the trigger tells of one new conversion."""

    def is_watching() -> None:
        while not any(request.status for request in sandbox.requests):
            time.sleep(0.01)

    events = trigger.run()
    coming = asyncio.ensure_future(anext(events))
    await asyncio.to_thread(is_watching)
    sandbox.add_conversion()
    event = await asyncio.wait_for(coming, 60)
    await events.aclose()
    return event.payload


@needs_asset_watchers
def test_a_dag_that_conversions_start(sandbox: Sandbox, tmp_path: Path):
    code = PAGE.block("python", "schedule=[conversions]").replace("poll_interval=30", "poll_interval=1")
    names = PAGE.run(code, tmp_path)
    asset = names["conversions"]
    payload = asyncio.run(next_event(asset.watchers[0].trigger, sandbox))
    assert all(f"`{key}`" in PAGE.text for key in payload)
    handle = names["dag"].task_dict["handle"].python_callable
    assert handle(triggering_asset_events=TriggeringEvents(asset, payload, payload)) == [sandbox.conversions[0]["id"]]


@needs_asset_watchers
def test_the_long_form(tmp_path: Path):
    long = PAGE.run(PAGE.block("python", "AssetWatcher("), tmp_path)["asset"]
    short = lead_conversions_asset(leadconv_conn_id="leadconv_default", poll_interval=30)
    assert (long.name, long.uri) == (short.name, short.uri)
    assert long.watchers[0].trigger.serialize() == short.watchers[0].trigger.serialize()


@needs_batching
def test_a_dag_that_gets_all_events_since_its_last_run(tmp_path: Path):
    names = PAGE.run(PAGE.block("python", "batch_asset_events=True"), tmp_path)
    dag, asset = names["dag"], names["conversions"]
    assert (dag.timetable.batch_asset_events, dag.max_active_runs) == (True, 1)
    digest = dag.task_dict["digest"].python_callable
    assert digest(triggering_asset_events=TriggeringEvents(asset, {"count": 2}, {"count": 1})) == [2, 1]


class Watched:
    """The page's DAG in a running Airflow, asked by the page's commands."""

    def __init__(self, airflow: Standalone, folder: Path) -> None:
        self.api = airflow._client
        self._folder = folder
        self._environment = {
            "AIRFLOW": str(self.api.base_url).rstrip("/"),
            "AUTH": f"Authorization: {self.api.headers['Authorization']}",
        }

    def run(self, script: str, **environment: str) -> dict:
        return json.loads(shell(script, self._folder, **self._environment, **environment) or "{}")

    def asset(self) -> str | None:
        found = self.run(PAGE.block("bash", "uri_pattern"))["assets"]
        return next((str(row["id"]) for row in found if row["uri"] == asset_uri("leadconv_default")), None)

    def watermark(self) -> int | None:
        value = self.run(PAGE.block("bash", "json.tool"), ASSET=str(self.asset())).get("value")
        return value["high_watermark"] if isinstance(value, dict) else value

    def set_watermark(self, conversion_id: int) -> None:
        self.run(PAGE.block("bash", "-X PUT").replace("650781", str(conversion_id)), ASSET=str(self.asset()))

    def pause(self, is_paused: bool) -> None:
        self.api.patch(RUNS.removesuffix("/dagRuns"), json={"is_paused": is_paused}).raise_for_status()

    def handled(self) -> list[int]:
        """Ids that the DAG's runs have seen."""
        runs = [run["dag_run_id"] for run in self.api.get(RUNS).json()["dag_runs"]]
        entries = [self.api.get(f"{RUNS}/{run}/taskInstances/handle/xcomEntries/return_value") for run in runs]
        values = [entry.json()["value"] for entry in entries if entry.is_success]
        return sorted(number for value in values for number in (json.loads(value) if isinstance(value, str) else value))


@pytest.mark.airflow
@pytest.mark.slow
@needs_durable_events
def test_reading_and_setting_the_watermark(tmp_path: Path):
    """The watermark is set back while the DAG is paused; what is above it is emitted once more."""
    dags = tmp_path / "dags"
    dags.mkdir()
    code = PAGE.block("python", "schedule=[conversions]").replace("poll_interval=30", "poll_interval=2")
    (dags / "on_conversions.py").write_text(code)
    with Sandbox(leads=5, conversions=20) as sandbox:
        airflow = Standalone(tmp_path / "airflow", sandbox.connection, dags)
        airflow._environment["AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL"] = "2"

        def nobody_asks() -> bool:
            sandbox.clear_requests()
            time.sleep(8)
            return not sandbox.requests

        with airflow:
            watched = Watched(airflow, tmp_path)
            newest = [row["id"] for row in sandbox.conversions]
            airflow.wait_for(lambda: watched.asset() is not None)
            airflow.wait_for(lambda: watched.watermark() == newest[0])
            watched.pause(True)
            airflow.wait_for(nobody_asks)
            watched.set_watermark(newest[3])
            assert watched.watermark() == newest[3]
            watched.pause(False)
            airflow.wait_for(lambda: watched.handled() == sorted(newest[:3]))
            airflow.wait_for(lambda: watched.watermark() == newest[0])
