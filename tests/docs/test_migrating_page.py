"""What the page says of before and after, with one broken connection and an API that makes second conversions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag, run_task
from tests.support.capabilities import needs_airflow_sdk
from tests.support.snippets import Page

PAGE = Page("docs/migrating.md")


@pytest.fixture
def careless(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(leads=2, second_conversion="new", faults=["drop_after,times=1"]) as sandbox:
        leadconv = {**sandbox.connection, "extra": {"timeout": 2, "settle_time": 0.1}}
        http = {"conn_type": "http", "host": sandbox.base_url, "password": sandbox.token}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(leadconv))
        monkeypatch.setenv("AIRFLOW_CONN_SELL", json.dumps(http))
        yield sandbox


def with_leads(code: str, leads: list[int]) -> str:
    return code.replace("[5012001, 5012002]", str(leads))


@needs_airflow_sdk
@pytest.mark.filterwarnings("default::FutureWarning", "default::DeprecationWarning")  # of the HTTP provider itself
def test_before(careless: Sandbox, tmp_path: Path):
    leads = careless.leads
    dag = PAGE.dag(with_leads(PAGE.block("python", "HttpOperator"), leads), tmp_path)
    states = [[run_task(task, try_number=1).state] for task in dag.tasks]
    assert states == [["up_for_retry"], ["success"]]
    assert run_task(dag.tasks[0], try_number=2).state == "success"
    assert [careless.conversion_counts[lead] for lead in leads] == [2, 1]
    twice = PAGE.run(PAGE.block("python", "Counter"), tmp_path)["twice"]
    assert twice == leads[:1]


def test_after(careless: Sandbox, tmp_path: Path):
    leads = careless.leads
    dag = PAGE.dag(with_leads(PAGE.block("python", "LeadConversionBulkOperator"), leads), tmp_path)
    assert run_dag(dag)["convert"].value["converted"] == 2
    assert [careless.conversion_counts[lead] for lead in leads] == [1, 1]
    assert [request.fault for request in careless.requests].count("drop_after") == 1
