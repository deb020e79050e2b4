from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.sandbox import Sandbox


@pytest.fixture
def account(monkeypatch):
    with Sandbox(conversions=1_300) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(sandbox.connection))
        yield sandbox


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path, monkeypatch):
    """The hook of a database, which the connection ``sql`` names, and in which there is no table yet."""
    if request.param == "sqlite":
        pytest.importorskip("airflow.providers.sqlite", reason="needs apache-airflow-providers-sqlite")
        from airflow.providers.sqlite.hooks.sqlite import SqliteHook

        connection = {"conn_type": "sqlite", "host": str(tmp_path / "sql.db")}
        monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection))
        return SqliteHook(sqlite_conn_id="sql")
    port = request.getfixturevalue("postgres_port")
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    connection = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": port,
        "login": "tester",
        "schema": "postgres",
        "extra": {"options": "-c timezone=America/New_York"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection))
    hook = PostgresHook(postgres_conn_id="sql")
    hook.run("DROP TABLE IF EXISTS conversions")
    return hook
