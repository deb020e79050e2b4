from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from airflow_harness import run_dag
from capabilities import needs_airflow_sdk

from airflow_provider_leadconv.sandbox import Sandbox
from docs.snippets import Page

PAGE = Page("docs/guides/sql.md")


@needs_airflow_sdk
def test_loading_and_asking(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """On SQLite; PostgreSQL is tested in tests/transfers."""
    database = tmp_path / "warehouse.db"
    connection = {"conn_type": "sqlite", "host": str(database)}
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", json.dumps(connection))
    runs = run_dag(PAGE.dag(PAGE.block("python", "LeadConversionToSqlOperator"), tmp_path))
    assert runs["load"].state == "success", runs
    assert all(f"`{key}`" in PAGE.text for key in runs["load"].value)
    with closing(sqlite3.connect(database)) as warehouse:
        found = warehouse.execute(PAGE.block("sql", "SELECT")).fetchall()
    with_deal = [row for row in sandbox.conversions if row["deal_id"]]
    assert [row[:2] for row in found] == [(row["lead_id"], row["deal_id"]) for row in with_deal[:10]]
