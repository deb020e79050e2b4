"""Databases that the connection ``sql`` leads to."""

from __future__ import annotations

import json
from contextlib import closing
from importlib.util import find_spec

import pytest

MARIADB_DRIVERS = {"mariadb": "mysql-connector-python", "mariadb-mysqlclient": "mysqlclient"}

DATABASES = ["sqlite", "postgres", "mariadb", *(["mariadb-mysqlclient"] if find_spec("MySQLdb") else [])]
"""The last one is MariaDB by the driver that Airflow takes by default, which has to be compiled."""


def database_hook(kind, request, tmp_path, monkeypatch):
    """:return: the hook of a database of this kind. Skips where there is none."""
    if kind == "sqlite":
        pytest.importorskip("airflow.providers.sqlite", reason="needs apache-airflow-providers-sqlite")
        from airflow.providers.sqlite.hooks.sqlite import SqliteHook

        connection = {"conn_type": "sqlite", "host": str(tmp_path / "sql.db")}
        monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection))
        return SqliteHook(sqlite_conn_id="sql")
    if kind in MARIADB_DRIVERS:
        port = request.getfixturevalue("mariadb_port")
        from airflow.providers.mysql.hooks.mysql import MySqlHook

        extra = {"client": MARIADB_DRIVERS[kind]}
        connection = {"conn_type": "mysql", "host": "127.0.0.1", "port": port, "login": "root", "schema": "test"}
        monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection | {"extra": extra}))
        return MySqlHook(mysql_conn_id="sql")
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
    return PostgresHook(postgres_conn_id="sql")


def run_sql(hook, *statements):
    """Run statements, and commit. Unlike the hook's own ``run``, this logs nothing.

    :return: the rows of the last one.
    """
    with closing(hook.get_conn()) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        rows = cursor.fetchall() if cursor.description else []
        connection.commit()
        return list(rows)
