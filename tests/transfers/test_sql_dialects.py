"""What needs no database; tests/transfers/test_sql_table.py has the rest, in real ones."""

from __future__ import annotations

import re

import pytest

from airflow_provider_leadconv.transfers.sql_dialects import MySqlDialect, PostgresDialect, SqlDialect, SqliteDialect

ID_TYPES = [
    (PostgresDialect, ["bigint", "numeric"], ["integer", "smallint", "text", "character varying", "uuid", "jsonb"]),
    (
        MySqlDialect,
        ["bigint(20)", "bigint unsigned", "decimal(20,0)"],
        ["int(11)", "int unsigned", "mediumint(9)", "tinyint(1)", "varchar(20)", "double", "longtext", "varbinary(9)"],
    ),
    (SqliteDialect, ["BIGINT", "INTEGER", "int", "", "NUMERIC", "DECIMAL(20)"], ["TEXT", "VARCHAR(20)", "REAL"]),
    (SqlDialect, ["", "NUMBER(38,0)", "int"], []),
]


@pytest.mark.parametrize(("dialect", "good", "bad"), ID_TYPES)
def test_types_of_ids(dialect, good, bad):
    assert [name for name in good + bad if re.search(dialect.id_types_refused, name, re.IGNORECASE)] == bad


TIME_TYPES = [
    (
        PostgresDialect,
        ["timestamp with time zone", "timestamp without time zone", "text", "character varying"],
        ["date", "time without time zone", "interval", "bigint", "boolean", "double precision"],
    ),
    (MySqlDialect, ["datetime", "datetime(6)", "timestamp", "varchar(40)"], ["date", "time", "year(4)", "int(11)"]),
    (SqliteDialect, ["TIMESTAMP", "TEXT", "DATE", ""], []),
]


@pytest.mark.parametrize(("dialect", "good", "bad"), TIME_TYPES)
def test_types_of_times(dialect, good, bad):
    assert [name for name in good + bad if re.search(dialect.time_types_refused, name, re.IGNORECASE)] == bad


class Cursor:
    """Records what is executed."""

    description = (("ID", None), ("LEAD_ID", None))

    def __init__(self):
        self.executed = []

    def execute(self, sql):
        self.executed.append(sql)

    def executemany(self, sql, rows):
        self.executed.append((sql, rows))

    def fetchall(self):
        return []


def test_another_database_has_the_upsert_of_its_hook():
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    class Hook(DbApiHook):
        conn_name_attr = "other_conn_id"
        replace_statement_format = "UPSERT {} {} VALUES ({}) WITH PRIMARY KEY"
        dialect_name = "other"
        placeholder = "?"
        escape_word_format = '"{}"'
        escape_column_names = False
        reserved_words = frozenset()

    cursor, rows = Cursor(), [(1, 10, None, None, None, None, "2026-01-01T00:00:00+00:00")]
    dialect = SqlDialect(Hook(), "crm.conversions")
    dialect.create_table(cursor)
    assert cursor.executed == [], "the type of a time is unknown"
    assert [column.name for column in dialect.columns(cursor)] == ["ID", "LEAD_ID"]
    dialect.upsert(cursor, rows)
    upsert, taken = cursor.executed[-1]
    assert upsert.startswith("UPSERT crm.conversions (id, lead_id, ")
    assert upsert.endswith("WITH PRIMARY KEY")
    assert taken is rows
