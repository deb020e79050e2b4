"""Errors that real databases raise about rows that hold personal data."""

from __future__ import annotations

import json
import traceback

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.sql import database_connection, sql_hook
from airflow_provider_leadconv.hooks.sql_errors import SqlError, database_errors
from tests.support.databases import DATABASES, database_hook, run_sql
from tests.support.servers import closed_port

NAME = "Zoë O'Quill' for key 'x' 🦊"
"""Has what could end a quotation too early."""


@pytest.fixture(params=DATABASES)
def database(request, tmp_path, monkeypatch):
    hook = database_hook(request.param, request, tmp_path, monkeypatch)
    text = "VARCHAR(40) CHARACTER SET utf8mb4" if hook.conn_type == "mysql" else "VARCHAR(40)"
    run_sql(
        hook,
        "DROP TABLE IF EXISTS people",
        f"CREATE TABLE people (id BIGINT NOT NULL, name {text}, CONSTRAINT one_name UNIQUE (name), "
        "CONSTRAINT old CHECK (id > 5))",
    )
    return hook


def execute(database, sql, *parameters):
    with database_connection(database, "sql", failed="cannot try") as connection:
        cursor = connection.cursor()
        if database.conn_type == "mysql":
            cursor.execute("SET SESSION sql_mode = 'STRICT_ALL_TABLES'")
        cursor.execute(sql, *([parameters] if parameters else []))
        cursor.fetchall()


def failure(database, sql, *parameters):
    """:return: the error of a statement, after a look at all that a log shows of it."""
    with pytest.raises((InvalidRequestError, SqlError)) as caught:
        execute(database, sql, *parameters)
    shown = "".join(traceback.format_exception(caught.value))
    assert "Quill" not in shown
    assert "🦊" not in shown
    return caught.value


def insert(database, name, number=10):
    mark = database.placeholder
    return failure(database, f"INSERT INTO people VALUES ({mark}, {mark}), ({mark}, {mark})", number, name, 11, name)


def test_a_duplicate(database):
    error = insert(database, NAME)
    assert isinstance(error, SqlError)
    assert "one_name" in str(error) or "people.name" in str(error)
    assert str(error).startswith("cannot try (sql_conn_id 'sql'): ")


def test_a_check(database):
    assert "old" in str(insert(database, NAME, number=1))


def test_a_null(database):
    assert "id" in str(insert(database, NAME, number=None))


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_a_value_of_another_type_is_no_matter_of_retries(database):
    error = insert(database, "x", number=NAME)
    assert isinstance(error, InvalidRequestError)
    assert "…" in str(error)
    assert "invalid input syntax for type bigint" in str(error) or "Incorrect integer value" in str(error)


DATA_IN_MESSAGE = {
    "postgres": "SELECT name::bigint FROM people",
    "mysql": "SELECT extractvalue(1, concat(0x7e, name)) FROM people",
    "sqlite": "SELECT json(name) FROM people",
}


def test_a_query_that_fails_over_a_value(database):
    run_sql(database, "INSERT INTO people VALUES (10, 'Jane Quill')")
    assert failure(database, DATA_IN_MESSAGE[database.conn_type])


RAISED = {
    "postgres": "DO $$ BEGIN RAISE EXCEPTION 'not Jane Quill'; END $$",
    "mysql": "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not Jane Quill'",
}


@pytest.mark.parametrize("database", ["postgres", "mariadb"], indirect=True)
def test_a_text_that_a_trigger_made(database):
    error = failure(database, RAISED[database.conn_type])
    assert "raised by a trigger or a function" in str(error)


def test_a_wrong_statement_keeps_its_message(database):
    error = failure(database, "SELECT nothing FROM people")
    assert isinstance(error, InvalidRequestError) or database.conn_type == "mysql"  # mysqlclient: OperationalError
    assert "nothing" in str(error)


def test_a_server_that_is_not_there(monkeypatch):
    pytest.importorskip("airflow.providers.postgres.hooks.postgres")
    with closed_port() as port:
        connection = {"conn_type": "postgres", "host": "127.0.0.1", "port": port}
        monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection))
        with pytest.raises(SqlError, match=r"cannot try \(sql_conn_id 'sql'\): .*refused.*OperationalError"):
            execute(sql_hook("sql"), "SELECT 1")


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_other_errors_are_not_touched(error):
    with pytest.raises(type(error)) as caught, database_errors("cannot try"):
        raise error
    assert caught.value is error
