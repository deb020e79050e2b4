from __future__ import annotations

import json
import sys

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.sql import database_connection, sql_hook
from tests.support.databases import DATABASES, database_hook, run_sql


def connect(monkeypatch, conn_type):
    monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps({"conn_type": conn_type, "host": "127.0.0.1"}))


def test_the_hook_of_a_database(monkeypatch):
    provider = pytest.importorskip("airflow.providers.sqlite.hooks.sqlite")
    connect(monkeypatch, "sqlite")
    assert isinstance(sql_hook("sql"), provider.SqliteHook)


def test_a_connection_that_is_no_database(monkeypatch):
    connect(monkeypatch, "fs")
    with pytest.raises(InvalidRequestError, match="'sql' is a connection of type 'fs', which is not a SQL database"):
        sql_hook("sql")


@pytest.mark.parametrize(
    ("conn_type", "package"),
    [("trino", "apache-airflow-providers-trino"), ("mssql", "apache-airflow-providers-microsoft-mssql")],
)
def test_a_provider_that_is_not_installed_is_named(monkeypatch, conn_type, package):
    connect(monkeypatch, conn_type)
    with pytest.raises(InvalidRequestError, match=f"of type '{conn_type}', which needs the package {package}"):
        sql_hook("sql")


def test_without_common_sql(monkeypatch):
    monkeypatch.setitem(sys.modules, "airflow.providers.common.sql.hooks.sql", None)
    with pytest.raises(InvalidRequestError, match="needs the package apache-airflow-providers-common-sql"):
        sql_hook("sql")


def test_a_driver_that_is_not_installed_is_named(monkeypatch):
    pytest.importorskip("airflow.providers.mysql")
    monkeypatch.setitem(sys.modules, "MySQLdb", None)
    connect(monkeypatch, "mysql")
    with (
        pytest.raises(InvalidRequestError, match=r"sql_conn_id 'sql' cannot be used: .*`mysqlclient` package"),
        database_connection(sql_hook("sql"), "sql", failed="cannot read"),
    ):
        pass


@pytest.mark.parametrize("kind", DATABASES)
def test_a_connection_commits_nothing_by_itself(kind, request, tmp_path, monkeypatch):
    hook = database_hook(kind, request, tmp_path, monkeypatch)
    run_sql(hook, "DROP TABLE IF EXISTS commits", "CREATE TABLE commits (number BIGINT)")
    for commit in (False, True):
        with database_connection(hook, "sql", failed="cannot write") as connection:
            connection.cursor().execute("INSERT INTO commits VALUES (1)")
            if commit:
                connection.commit()
    assert run_sql(hook, "SELECT number FROM commits") == [(1,)]
