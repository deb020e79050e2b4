"""What is counted in Airflow's metrics."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, Stats

from airflow_provider_leadconv import metrics
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.hooks.clients import open_async_client
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()
    # Threads of a run that another test has killed may still end their last request.
    others = set(threading.enumerate()) - {threading.current_thread()}

    def incr(name: str, count: int = 1, **_: object) -> None:
        if threading.current_thread() not in others:
            counted.update({name: count})

    monkeypatch.setattr(Stats, "incr", incr, raising=False)
    return counted


def test_a_bulk(sandbox: Sandbox, counted: Counter[str]):
    sandbox.faults = ["throttle_429,times=1,method=POST"]
    leads = [*sandbox.leads[:3], 4_000_000_000]
    LeadConversionBulkOperator(task_id="convert", leads=leads, max_failures=None).execute({})
    assert counted["leadconv.requests"] == len(sandbox.requests)
    del counted["leadconv.requests"]
    assert counted == {"leadconv.converted": 3, "leadconv.failed": 1, "leadconv.throttled": 1}


def test_an_export(sandbox: Sandbox, counted: Counter[str], tmp_path):
    LeadConversionExportOperator(task_id="export", path=str(tmp_path / "a.jsonl")).execute({})
    assert counted == {"leadconv.exported_rows": 30, "leadconv.requests": 1}


def test_a_sensor(sandbox: Sandbox, counted: Counter[str]):
    LeadConversionSensor(task_id="wait", lead_id=sandbox.conversions[0]["lead_id"]).execute({})
    assert counted == {"leadconv.sensor_success": 1, "leadconv.requests": 1}


def test_an_export_that_fails(sandbox: Sandbox, counted: Counter[str], monkeypatch, tmp_path):
    wrong = {**sandbox.connection, "password": "wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(wrong))
    with pytest.raises(AirflowFailException):
        LeadConversionExportOperator(task_id="export", path=str(tmp_path / "a.jsonl")).execute({})
    assert counted == {"leadconv.requests": len(sandbox.requests)}


async def read_a_page() -> None:
    async with await open_async_client("leadconv_default") as client:
        await client.get_page(ListQuery())


def test_the_triggerer(sandbox: Sandbox, counted: Counter[str]):
    asyncio.run(read_a_page())
    assert counted == {"leadconv.requests": 1}


def test_names_are_documented():
    assert all(f"``leadconv.{name}``" in metrics.__doc__ for name in metrics.NAMES)
    with pytest.raises(ValueError, match="unknown metric"):
        metrics.count(conversions=1)
