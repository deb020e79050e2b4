"""Waiting in a real Airflow whose triggerer is killed."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from airflow_provider_leadconv.changefeed import OverlapWindow
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.waiting.event_batches import window_from_json
from tests.support.capabilities import needs_durable_events, needs_running_airflow
from tests.support.standalone import Standalone

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

SENSORS = 20
WAITING = f"""
from datetime import timedelta
from airflow.sdk import DAG
from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor

with DAG(dag_id="waiting", schedule=None):
    for number in range({SENSORS}):
        LeadConversionSensor(
            task_id=f"wait_{{number}}",
            lead_id=f"{{{{{{{{ params.leads[{{number}}] }}}}}}}}",
            deferrable=True,
            poke_interval=5,
            timeout=timedelta(hours=1),
        )
"""
WATCHING = """
from airflow.sdk import DAG, task
from airflow_provider_leadconv.assets import lead_conversions_asset

with DAG(dag_id="watching", schedule=[lead_conversions_asset(poll_interval=2)]):

    @task
    def nothing():
        pass

    nothing()
"""


@needs_running_airflow
def test_sensors_survive_the_triggerer(tmp_path: Path):
    """Twenty wait; the triggerer is killed, their leads are converted, a new triggerer starts: all succeed."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "waiting.py").write_text(WAITING)
    with Sandbox(leads=SENSORS, conversions=250, rate=10) as sandbox:
        leads = sandbox.leads
        with Standalone(tmp_path / "airflow", sandbox.connection, dags) as airflow:
            run = airflow.start_run("waiting", {"leads": leads})
            airflow.wait_for(lambda: set(airflow.task_states(run).values()) == {"deferred"}, 300)
            time.sleep(6)
            airflow.kill_triggerer()
            for lead_id in leads:
                sandbox.add_conversion(lead_id)
            for _ in range(300):
                sandbox.add_conversion()
            airflow.start_triggerer()
            states = airflow.finish_run(run, 400)
            console = airflow.console.read_text(errors="replace")
        assert set(states.values()) == {"success"}, console[-4000:]
        assert 429 not in {request.status for request in sandbox.requests}
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert [path for path in written if sandbox.token.encode() in path.read_bytes()] == []
    assert airflow.processes() == []


def events(home: Path) -> list[dict[str, Any]]:
    """The payloads in Airflow's database, in their order."""
    with closing(sqlite3.connect(home / "airflow.db", timeout=30)) as database:
        rows = database.execute("SELECT extra FROM asset_event ORDER BY id").fetchall()
    return [json.loads(extra)["payload"] for (extra,) in rows]


def watermark(home: Path) -> OverlapWindow | None:
    """What is taken, as Airflow's database has it."""
    with closing(sqlite3.connect(home / "airflow.db", timeout=30)) as database:
        rows = database.execute("SELECT value FROM asset_state_store").fetchall()
    return window_from_json(json.loads(rows[0][0])) if rows else None


def emitted_before_the_watermark(home: Path) -> set[int]:
    """The ids that are in a stored event and, as far as the watermark knows, are not."""
    window = watermark(home)
    assert window is not None
    reported = {row["id"] for event in events(home) for row in event["conversions"]}
    return {number for number in reported - set(window.ids) if number > window.low_watermark}


@needs_durable_events
def test_events_survive_the_triggerer(tmp_path: Path):
    """Killed at ten random moments: no conversion is missing, and one is emitted twice only if it must be.

    That is, if at a kill its event was stored and the watermark had not moved behind it yet.
    """
    random = Random(5)
    home, dags = tmp_path / "airflow", tmp_path / "dags"
    dags.mkdir()
    (dags / "watching.py").write_text(WATCHING)
    may_repeat: set[int] = set()
    with Sandbox(leads=0, conversions=250, rate=10) as sandbox:
        old = {conversion["id"] for conversion in sandbox.conversions}
        with Standalone(home, sandbox.connection, dags) as airflow:
            airflow.wait_for(lambda: watermark(home) is not None, 120)
            for _ in range(10):
                alive = time.monotonic() + random.uniform(5, 35)
                while time.monotonic() < alive:
                    sandbox.add_conversion()
                    time.sleep(random.uniform(0, 0.5))
                airflow.kill_triggerer()
                may_repeat |= emitted_before_the_watermark(home)
                sandbox.add_conversion()
                airflow.start_triggerer()
            wanted = {conversion["id"] for conversion in sandbox.conversions} - old
            airflow.wait_for(lambda: wanted <= {row["id"] for e in events(home) for row in e["conversions"]}, 180)
            reported = [row["id"] for event in events(home) for row in event["conversions"]]
    repeated = {number for number, times in Counter(reported).items() if times > 1}
    print(f"{len(wanted)} conversions, {len(repeated)} emitted again of {len(may_repeat)} emitted before")
    assert set(reported) == wanted
    assert repeated <= may_repeat
    assert airflow.processes() == []
