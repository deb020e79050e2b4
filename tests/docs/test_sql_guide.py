from __future__ import annotations

import json
import re
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.transfers.sql_dialects import DIALECTS
from airflow_provider_leadconv.transfers.sql_table import SqlTable
from tests.support.airflow_harness import run_dag
from tests.support.capabilities import needs_airflow_sdk
from tests.support.databases import database_hook, run_sql
from tests.support.snippets import REPO, Page

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


def test_the_extras():
    (named,) = re.findall(r"with an extra: (.*)\.", PAGE.text)
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"`(.+?)`", named)) == set(DIALECTS)
    assert set(DIALECTS) <= set(extras)
    assert PAGE.block("bash", "pip install").split() == ["pip", "install", "'.[postgres]'"]


TABLES = {"postgres": PAGE.block("sql", "TIMESTAMPTZ"), "mariadb": PAGE.block("sql", "ENGINE")}


@pytest.mark.parametrize(("kind", "statement"), TABLES.items(), ids=list(TABLES))
def test_a_table_of_the_guide_is_that_of_the_export(kind, statement, request, tmp_path, monkeypatch):
    database = database_hook(kind, request, tmp_path, monkeypatch)
    drop = "DROP TABLE IF EXISTS lead_conversions"

    def columns():
        with closing(database.get_conn()) as connection, closing(connection.cursor()) as cursor:
            return DIALECTS[database.conn_type](database, "lead_conversions").columns(cursor)

    run_sql(database, drop)
    SqlTable(database, "sql", "lead_conversions", {}).prepare()
    made = columns()
    run_sql(database, drop, statement)
    assert [column for column in columns() if column.name != "note"] == made
    SqlTable(database, "sql", "lead_conversions", {}).prepare()
    run_sql(database, drop)
    assert f"created_at {DIALECTS[database.conn_type].time_type}" in statement
    assert f"SQLite: {DIALECTS['sqlite'].time_type}" in TABLES["postgres"]
