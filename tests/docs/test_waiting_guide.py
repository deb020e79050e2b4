from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag
from tests.support.capabilities import needs_airflow_sdk
from tests.support.snippets import Page
from tests.support.trigger_simulation import SimulatedApi
from tests.support.triggers import Logged, start, trigger

PAGE = Page("docs/guides/waiting.md")


@needs_airflow_sdk
def test_waiting_for_several(sandbox: Sandbox, tmp_path: Path):
    leads = sandbox.leads[:3]
    dag = PAGE.dag(PAGE.block("python", "LeadConversionSensor"), tmp_path)
    assert run_dag(dag, conf={"leads": leads})["wait"].state == "deferred"
    made = [sandbox.add_conversion(lead) for lead in leads]
    runs = run_dag(dag, conf={"leads": leads})
    assert runs["deals"].value == [row["deal_id"] for row in made if row["deal_id"]], runs


def test_the_log_of_a_deferred_sensor(monkeypatch: pytest.MonkeyPatch):
    api, logged = SimulatedApi(), Logged(monkeypatch)
    api.install(monkeypatch)
    leads = range(5012001, 5012009)

    async def main() -> None:
        waiting = start(logged.by(trigger(*leads, poll_interval=30, deadline=time.time() + 7 * 86400)))
        await asyncio.sleep(1)
        api.convert(*leads[:3])
        await asyncio.sleep(64)
        api.convert(*leads[3:])
        await asyncio.gather(*waiting)

    api.run(main())
    assert logged.lines == PAGE.block("text", "8 of 8 leads").splitlines()
