from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest
from capabilities import needs_asset_watchers, needs_durable_events
from integration.standalone import Standalone

from airflow_provider_leadconv.assets import lead_conversions_asset
from airflow_provider_leadconv.sandbox import Sandbox
from docs.snippets import Page, shell

PAGE = Page("docs/guides/events.md")


async def next_event(trigger, sandbox: Sandbox) -> dict:
    """What the trigger tells of one new conversion."""
    events = trigger.run()
    coming = asyncio.ensure_future(anext(events))
    while not any(request.status for request in sandbox.requests):
        await asyncio.sleep(0.01)
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

    class Event:
        extra = {"from_trigger": True, "payload": payload}

    handle = names["dag"].task_dict["handle"].python_callable
    assert handle(triggering_asset_events={asset: [Event, Event]}) == [sandbox.conversions[0]["id"]]


@needs_asset_watchers
def test_the_long_form(tmp_path: Path):
    long = PAGE.run(PAGE.block("python", "AssetWatcher("), tmp_path)["asset"]
    short = lead_conversions_asset(leadconv_conn_id="leadconv_default", poll_interval=30)
    assert (long.name, long.uri) == (short.name, short.uri)
    assert long.watchers[0].trigger.serialize() == short.watchers[0].trigger.serialize()


@pytest.mark.airflow
@pytest.mark.slow
@needs_durable_events
def test_reading_and_setting_the_mark(tmp_path: Path):
    """The mark is set back by the page's commands while the DAG is paused; what is above it is told once more."""
    dags = tmp_path / "dags"
    dags.mkdir()
    code = PAGE.block("python", "schedule=[conversions]").replace("poll_interval=30", "poll_interval=2")
    (dags / "on_conversions.py").write_text(code)
    with (
        Sandbox(leads=5, conversions=20) as sandbox,
        Standalone(tmp_path / "airflow", sandbox.connection, dags) as airflow,
    ):
        api = airflow._client
        environment = {
            "AIRFLOW": str(api.base_url).rstrip("/"),
            "AUTH": f"Authorization: {api.headers['Authorization']}",
        }

        def mark(asset: str) -> dict:
            answer = json.loads(
                shell(
                    PAGE.block("bash", 'state-store/leadconv_default%2Flead_conversions"\n'),
                    tmp_path,
                    **environment,
                    ASSET=asset,
                )
            )
            return answer["value"] if isinstance(answer.get("value"), dict) else {}

        def handled() -> list[int]:
            runs = api.get("/api/v2/dags/on_conversions/dagRuns").json()["dag_runs"]
            paths = [f"/api/v2/dags/on_conversions/dagRuns/{run['dag_run_id']}" for run in runs]
            xcoms = [api.get(f"{path}/taskInstances/handle/xcomEntries/return_value") for path in paths]
            return [row for xcom in xcoms if xcom.status_code == 200 for row in json.loads(xcom.json()["value"]) or ()]

        def pause(paused: bool) -> None:
            api.patch("/api/v2/dags/on_conversions", json={"is_paused": paused}).raise_for_status()

        airflow.wait_for(
            lambda: "lead_conversions" in shell(PAGE.block("bash", "uri_pattern"), tmp_path, **environment)
        )
        found = json.loads(shell(PAGE.block("bash", "uri_pattern"), tmp_path, **environment))
        (asset,) = [
            str(row["id"]) for row in found["assets"] if row["uri"] == "leadconv://leadconv_default/lead_conversions"
        ]
        newest = [row["id"] for row in sandbox.conversions]
        airflow.wait_for(lambda: mark(asset).get("mark") == newest[0])

        pause(True)
        time.sleep(10)
        shell(PAGE.block("bash", "-X PUT").replace("650781", str(newest[3])), tmp_path, **environment, ASSET=asset)
        pause(False)
        airflow.wait_for(lambda: sorted(handled()) == sorted(newest[:3]))
        airflow.wait_for(lambda: mark(asset).get("mark") == newest[0])
