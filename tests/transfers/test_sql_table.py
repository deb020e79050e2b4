"""Tables in real databases, without an API."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import COLUMNS, ID_COLUMNS, MAX_ID
from airflow_provider_leadconv.hooks.sql import sql_hook
from airflow_provider_leadconv.hooks.sql_errors import SqlError
from airflow_provider_leadconv.transfers.sql_table import SqlTable
from tests.support.databases import run_sql

NOTE = "Zoë 🦊 Quill"
"""What somebody keeps beside a conversion."""


def table_of(database, name="conversions", **filters):
    return SqlTable(database, "sql", name, filters)


def create(database, *more, name="conversions", **types):
    """Create a table with other types than those of the export, and with more columns or constraints."""
    time_type = "DATETIME" if database.conn_type == "mysql" else "TIMESTAMP"
    types = dict.fromkeys(ID_COLUMNS, "BIGINT") | {"id": "BIGINT PRIMARY KEY", "created_at": time_type} | types
    columns = [f"{column} {type_}" for column, type_ in types.items() if type_]
    utf8 = " CHARACTER SET utf8mb4" if database.conn_type == "mysql" else ""
    run_sql(database, f"CREATE TABLE {name} ({', '.join([*columns, *more])}){utf8}")


def row(number, **values):
    ids = dict.fromkeys(ID_COLUMNS) | {"id": number, "lead_id": 10 * number}
    return tuple((ids | {"created_at": f"2026-03-29T01:30:{number:02}+00:00"} | values)[name] for name in COLUMNS)


def ids(database, name="conversions"):
    return [int(row_[0]) for row_ in run_sql(database, f"SELECT id FROM {name} ORDER BY id")]


def test_the_largest_ids_and_nulls_come_back(database):
    table = table_of(database)
    table.prepare()
    largest = row(1, **dict.fromkeys(ID_COLUMNS, MAX_ID))
    table.upsert([row(2, created_at=None), largest])
    assert [(found.id, found.lead_id) for found in table.newest(below=None, limit=5)] == [(MAX_ID, MAX_ID), (2, 20)]
    assert table.newest(below=MAX_ID, limit=1)[0].created_at is None
    found = run_sql(database, f"SELECT {', '.join(ID_COLUMNS)} FROM conversions ORDER BY id")
    assert found == [row(2)[:-1], largest[:-1]]


def test_a_row_without_a_lead_is_named(database):
    create(database)
    run_sql(database, "INSERT INTO conversions (id) VALUES (5)")
    with pytest.raises(InvalidRequestError, match="table conversions has a row with id 5 and lead_id None, which no"):
        table_of(database).newest(below=None, limit=5)


def test_only_rows_that_match_the_filters_are_read(database):
    table = table_of(database, creator_id=7)
    table.prepare()
    table.upsert([row(1, creator_id=7), row(2), row(3, creator_id=7), row(4, creator_id=8)])
    assert [found.id for found in table.newest(below=None, limit=5)] == [3, 1]
    assert [found.id for found in table.newest(below=3, limit=5)] == [1]


def test_an_upsert_leaves_other_columns_as_they_are(database):
    create(database, "note VARCHAR(40)")
    table = table_of(database)
    table.prepare()
    table.upsert([row(1)])
    run_sql(database, f"UPDATE conversions SET note = '{NOTE}'")
    table.prepare()
    table.upsert([row(1, deal_id=5), row(2)])
    assert run_sql(database, "SELECT id, deal_id, note FROM conversions ORDER BY id") == [(1, 5, NOTE), (2, None, None)]


TIME_TYPES = {
    "postgres": ["TIMESTAMPTZ", "TIMESTAMP", "TEXT"],
    "mysql": ["DATETIME", "DATETIME(6)", "TIMESTAMP NULL", "VARCHAR(40)"],
    "sqlite": ["TIMESTAMP", "TEXT", "DATE", ""],
}


def test_times_are_utc_in_every_type(database):
    """The sessions of PostgreSQL and MariaDB are elsewhere, and this moment does not exist in some places."""
    for number, time_type in enumerate(TIME_TYPES[database.conn_type]):
        name = f"times_{number}"
        run_sql(database, f"DROP TABLE IF EXISTS {name}")
        create(database, name=name, created_at=time_type or " ")
        table = table_of(database, name)
        table.prepare()
        table.upsert([row(1)])
        (found,) = table.newest(below=None, limit=1)
        assert found.created_at == datetime(2026, 3, 29, 1, 30, 1, tzinfo=UTC), time_type


def test_a_fraction_of_a_second_is_kept(database):
    table = table_of(database)
    table.prepare()
    table.upsert([row(1, created_at="2026-03-29T01:30:00.123456+00:00")])
    assert table.newest(below=None, limit=1)[0].created_at.microsecond == 123456


def test_decimal_ids(database):
    create(database, id="DECIMAL(20) PRIMARY KEY", lead_id="DECIMAL(20)")
    table = table_of(database)
    table.prepare()
    table.upsert([row(2), row(10)])
    assert [type(found.id) for found in table.newest(below=None, limit=5)] == [int, int]
    assert [found.id for found in table.newest(below=None, limit=5)] == [10, 2]


QUOTED = {
    "postgres": ("CREATE SCHEMA IF NOT EXISTS crm", 'crm."Order of 🦊"'),
    "mysql": ("CREATE DATABASE IF NOT EXISTS crm", "crm.`order of ü`"),
    "sqlite": ("SELECT 1", 'main."order of 🦊.x"'),
}


def test_names_with_a_schema_and_in_quotation_marks(database):
    schema, name = QUOTED[database.conn_type]
    run_sql(database, schema, f"DROP TABLE IF EXISTS {name}")
    table = table_of(database, name)
    table.prepare()
    table.upsert([row(1), row(2)])
    table_of(database, name).prepare()
    assert [found.id for found in table.newest(below=2, limit=5)] == [1]
    run_sql(database, f"DROP TABLE {name}")
    create(database, name=name, deal_id=None)
    with pytest.raises(InvalidRequestError, match="has no column deal_id"):
        table.prepare()


def test_columns_may_be_upper_case_and_in_any_order(database):
    if database.conn_type == "postgres":
        pytest.skip("PostgreSQL folds names itself")
    run_sql(
        database,
        "CREATE TABLE conversions (Created_At TIMESTAMP NULL, DEAL_ID BIGINT, CREATOR_ID BIGINT, LEAD_ID BIGINT, "
        "ORGANIZATION_ID BIGINT, INDIVIDUAL_ID BIGINT, ID BIGINT PRIMARY KEY)",
    )
    table = table_of(database)
    table.prepare()
    table.upsert([row(1)])
    assert ids(database) == [1]


def test_missing_columns_are_named(database):
    create(database, deal_id=None, created_at=None)
    with pytest.raises(InvalidRequestError) as caught:
        table_of(database).prepare()
    assert str(caught.value).startswith(
        "table conversions has no column deal_id, created_at; "
        "it has id, lead_id, individual_id, organization_id, creator_id"
    )


WRONG_TYPES = [
    ("sqlite", "lead_id", "TEXT"),
    ("sqlite", "deal_id", "REAL"),
    ("postgres", "lead_id", "INTEGER"),
    ("postgres", "deal_id", "CHARACTER VARYING"),
    ("postgres", "creator_id", "DOUBLE PRECISION"),
    ("postgres", "created_at", "DATE"),
    ("postgres", "created_at", "BIGINT"),
    ("mariadb", "lead_id", "INT"),
    ("mariadb", "deal_id", "VARCHAR(20)"),
    ("mariadb", "created_at", "DATE"),
    ("mariadb", "created_at", "TIME"),
]


@pytest.mark.parametrize(("database", "column", "wrong"), WRONG_TYPES, indirect=["database"])
def test_a_column_of_the_wrong_type_is_named(database, column, wrong):
    create(database, **{column: wrong})
    with pytest.raises(InvalidRequestError) as caught:
        table_of(database).prepare()
    message = str(caught.value).lower()
    assert f"column {column} of table conversions has the type {wrong.lower()}" in message
    assert f"make it {'bigint' if column != 'created_at' else ''}" in message


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_domain_has_the_type_below_it(database):
    run_sql(database, "DROP DOMAIN IF EXISTS crm_id, crm_name", "CREATE DOMAIN crm_id AS BIGINT")
    run_sql(database, "CREATE DOMAIN crm_name AS TEXT")
    create(database, lead_id="crm_id")
    table_of(database).prepare()
    run_sql(database, "ALTER TABLE conversions ALTER COLUMN lead_id TYPE crm_name")
    with pytest.raises(InvalidRequestError, match="column lead_id of table conversions has the type text"):
        table_of(database).prepare()
    run_sql(database, "DROP TABLE conversions")


def test_a_column_that_needs_a_value_is_named(database):
    create(database, "region VARCHAR(9) NOT NULL", "source VARCHAR(9) NOT NULL DEFAULT 'sell'")
    with pytest.raises(InvalidRequestError, match="column region of table conversions is NOT NULL and has no default"):
        table_of(database).prepare()


def test_a_table_without_a_unique_id(database):
    create(database, id="BIGINT")
    with pytest.raises(InvalidRequestError, match=r"(?i)unique"):
        table_of(database).prepare()


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_another_unique_index_of_mysql_would_overwrite_other_conversions(database):
    create(database, "UNIQUE one_each (lead_id)")
    with pytest.raises(InvalidRequestError, match=r"the unique index one_each \(lead_id\): MySQL would overwrite"):
        table_of(database).prepare()


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
@pytest.mark.parametrize(
    "column", ["source VARCHAR(9) NOT NULL DEFAULT 'sell'", "source BIGINT AS (lead_id DIV 100) VIRTUAL"]
)
def test_another_unique_index_of_mysql_whose_columns_repeat_themselves(database, column):
    create(database, column, "UNIQUE one_each (source)")
    with pytest.raises(InvalidRequestError, match=r"the unique index one_each \(source\): MySQL would overwrite"):
        table_of(database).prepare()


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
@pytest.mark.parametrize("column", ["other VARCHAR(9)", "other CHAR(36) NOT NULL DEFAULT (uuid())"])
def test_another_unique_index_of_mysql_that_no_new_row_can_match(database, column):
    create(database, column, "UNIQUE one_each (other)")
    table = table_of(database)
    table.prepare()
    table.upsert([row(1), row(2)])
    assert ids(database) == [1, 2]


@pytest.mark.parametrize("database", ["mariadb"], indirect=True)
def test_a_key_of_its_own_beside_the_id(database):
    create(database, "row_id BIGINT AUTO_INCREMENT PRIMARY KEY", id="BIGINT NOT NULL UNIQUE")
    table = table_of(database)
    table.prepare()
    table.upsert([row(1), row(2)])
    table.upsert([row(1, deal_id=9)])
    assert run_sql(database, "SELECT row_id, id, deal_id FROM conversions ORDER BY id") == [(1, 1, 9), (2, 2, None)]


@pytest.mark.parametrize("database", ["postgres"], indirect=True)
def test_a_user_needs_no_privilege_to_create_tables_but_one_to_write(database, monkeypatch):
    create(database)
    run_sql(
        database,
        "DO $$ BEGIN CREATE ROLE loader; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        "GRANT SELECT ON conversions TO loader",
    )
    connection = {**json.loads(os.environ["AIRFLOW_CONN_SQL"]), "extra": {"options": "-c role=loader"}}
    monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection))
    table = table_of(sql_hook("sql"))
    with pytest.raises(InvalidRequestError, match="permission denied for table conversions"):
        table.prepare()
    run_sql(database, "GRANT INSERT, UPDATE ON conversions TO loader")
    table.prepare()
    table.upsert([row(1)])
    assert ids(database) == [1]


def test_a_table_that_cannot_be_named(database):
    with pytest.raises(InvalidRequestError, match=r"cannot use table a table \(sql_conn_id 'sql'\): .*syntax"):
        table_of(database, "a table").prepare()


def test_an_error_names_the_constraint_and_no_value_of_the_row(database, caplog, capsys):
    create(database, "note VARCHAR(40)", "CONSTRAINT refuse CHECK (deal_id <> 4711)")
    table = table_of(database)
    table.prepare()
    table.upsert([row(1)])
    run_sql(database, "UPDATE conversions SET note = 'Jane Quill'")
    with pytest.raises(SqlError) as caught:
        table.upsert([row(1, deal_id=4711, individual_id=310_001_998)])
    assert str(caught.value).startswith("cannot write to table conversions (sql_conn_id 'sql'): ")
    assert "refuse" in str(caught.value)
    for text in (str(caught.value), caplog.text, "".join(capsys.readouterr())):
        assert "Quill" not in text
        assert "310001998" not in text
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
def test_a_duplicate_names_the_index_and_not_the_value(database):
    create(database, "CONSTRAINT one_each UNIQUE (lead_id)")
    table = table_of(database)
    table.prepare()
    with pytest.raises(SqlError) as caught:
        table.upsert([row(1, lead_id=4711), row(2, lead_id=4711)])
    assert "4711" not in str(caught.value)
    assert "one_each" in str(caught.value) or "conversions.lead_id" in str(caught.value)
