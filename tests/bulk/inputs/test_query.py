from __future__ import annotations

import logging
import sqlite3

import pytest

from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs import Columns, read_leads
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.query import ROWS_PER_FETCH, rows_of_cursor


@pytest.fixture
def read():
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE leads (id INTEGER, owner INTEGER, name TEXT)")
    connection.executemany("INSERT INTO leads VALUES (?, 3, 'Ada')", [(n,) for n in range(1, 2 * ROWS_PER_FETCH + 2)])

    def read(sql, **options):
        columns = Columns(**options)
        return read_leads(rows_of_cursor(connection.execute(sql), columns), columns=columns, source="the query of x")

    yield read
    connection.close()


def test_all_rows_are_read_in_batches(read):
    assert [lead.lead_id for lead in read("SELECT id AS lead_id FROM leads")] == [*range(1, 2 * ROWS_PER_FETCH + 2)]


def test_settings_and_other_columns(read, caplog):
    caplog.set_level(logging.INFO)
    leads = read("SELECT id AS LEAD_ID, owner AS OWNER_ID, 'false' AS create_deal, name FROM leads WHERE id = 7")
    assert leads == [ConversionRequest(7, 3, False)]
    assert caplog.messages == ["Ignored columns of the query of x: name"]


def test_another_column_of_ids(read):
    assert read("SELECT id, owner FROM leads WHERE id = 7", lead_id_column="id", ignore_columns=["owner"]) == [
        ConversionRequest(7)
    ]


def test_no_rows(read):
    assert read("SELECT id AS lead_id FROM leads WHERE id = 0") == []


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "SELECT id FROM leads WHERE id = 0",
            r"the query of x: no column lead_id in the columns of the query \['id'\]",
        ),
        ("SELECT id AS lead_id, owner FROM leads", "the query of x: column 'owner' resembles owner_id"),
        ("SELECT NULL AS lead_id", "the query of x: row 1: lead_id is empty"),
        ("SELECT 1.5 AS lead_id", "the query of x: row 1: lead_id must be an integer, got 1.5"),
        ("DELETE FROM leads", "the query of x: the statement returns no rows; it must be a SELECT"),
    ],
)
def test_a_query_that_returns_no_leads(read, sql, message):
    with pytest.raises(InvalidLeadsError, match=message):
        read(sql)


def test_rows_that_are_mappings():
    class DictCursor:
        description = (("lead_id",), ("Name",))
        rows = [[{"lead_id": 7, "Name": "Ada"}], []]  # noqa: RUF012

        def fetchmany(self, size):
            return self.rows.pop(0)

    assert read_leads(rows_of_cursor(DictCursor(), Columns())) == [ConversionRequest(7)]
