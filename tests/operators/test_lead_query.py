"""Leads from a database, in Airflow's own task runner, against the sandbox."""

from __future__ import annotations

import json
import logging
import re
import traceback

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from tests.support.airflow_harness import run_task
from tests.support.databases import DATABASES, database_hook, run_sql

NEXT = "SELECT lead_id, name FROM leads WHERE NOT converted ORDER BY lead_id LIMIT 4"


pytestmark = pytest.mark.usefixtures("full_rate")


@pytest.fixture(params=DATABASES)
def database(request, tmp_path, monkeypatch):
    """The hook of a database with a table of leads."""
    return database_hook(request.param, request, tmp_path, monkeypatch)


@pytest.fixture
def leads(sandbox, database):
    database.run("DROP TABLE IF EXISTS leads")
    database.run("CREATE TABLE leads (lead_id BIGINT, name VARCHAR(20), converted BOOLEAN, rating INTEGER)")
    rows = [(lead, f"Lead {number}", False, number) for number, lead in enumerate(sandbox.leads)]
    database.insert_rows("leads", rows, target_fields=["lead_id", "name", "converted", "rating"])
    return sorted(sandbox.leads)


def bulk(tmp_path, **options):
    options = {"sql": NEXT, "sql_conn_id": "sql", "results_path": f"{tmp_path}/results.jsonl", **options}
    return LeadConversionBulkOperator(task_id="convert", **options)


def converted(sandbox, leads):
    return [lead for lead in leads if sandbox.conversion_counts.get(lead)]


def test_the_leads_of_a_query(sandbox, leads, tmp_path):
    run = run_task(bulk(tmp_path))
    assert (run.state, run.value["converted"]) == ("success", 4)
    assert converted(sandbox, leads) == leads[:4]
    assert [path.name for path in tmp_path.glob("results*")] == ["results.jsonl"]


def test_templates_and_parameters_of_a_file(sandbox, leads, database, tmp_path):
    (tmp_path / "leads.sql").write_text(
        f"SELECT lead_id, {{{{ params.owner }}}} AS owner_id FROM leads WHERE rating >= {database.placeholder}"
    )
    owner = sandbox.owners[0]
    with DAG("query", schedule=None, template_searchpath=str(tmp_path), params={"owner": owner, "rating": 18}):
        task = bulk(tmp_path, sql="leads.sql", sql_parameters=["{{ params.rating }}"])
    run = run_task(task)
    assert (run.state, run.value["converted"]) == ("success", 2), run.error
    assert {
        json.loads(request.body)["data"]["owner_id"] for request in sandbox.requests if request.method == "POST"
    } == {owner}


@pytest.fixture
def first_try(sandbox, monkeypatch, tmp_path):
    """Runs a first try that cannot send anything."""

    def run(**options):
        sandbox.add_token("reader", ["read"])
        with monkeypatch.context() as context:
            context.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "reader"}))
            assert run_task(bulk(tmp_path, retries=1, **options)).state == "up_for_retry"

    return run


def test_a_retry_takes_the_leads_of_the_first_try(sandbox, leads, database, tmp_path, first_try, caplog):
    caplog.set_level(logging.INFO, "airflow_provider_leadconv")
    first_try()
    sandbox.add_conversion(leads[0])
    database.run("DELETE FROM leads WHERE rating = 0")
    again = run_task(bulk(tmp_path, owner_id=sandbox.owners[0], retries=1), try_number=2)
    assert (again.state, again.value["converted"], again.value["existing"]) == ("success", 3, 1), again.error
    assert converted(sandbox, leads) == leads[:4], "the query alone returns the next lead instead of the first"
    assert "Read 4 leads from results.jsonl.leads.jsonl, where the first try of this run put them" in caplog.messages
    owners = {json.loads(request.body)["data"].get("owner_id") for request in sandbox.requests[-4:] if request.body}
    assert owners == {sandbox.owners[0]}, "defaults are those of the retry"


def test_another_query_in_a_retry_is_refused(sandbox, leads, tmp_path, first_try):
    first_try()
    again = run_task(bulk(tmp_path, sql="SELECT lead_id FROM leads", retries=1), try_number=2)
    assert (again.state, type(again.error)) == ("failed", AirflowFailException)
    assert "the query is another one than that of this run's first try" in str(again.error)
    assert converted(sandbox, leads) == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"sql": "SELECT name FROM leads"},
            r"the query of sql: no column lead_id in the columns of the query \['name'\]",
        ),
        (
            {"sql": "SELECT name AS lead_id FROM leads"},
            "the query of sql: row 1: lead_id must be an integer, got 'Lead 0'",
        ),
        ({"sql": " "}, "sql, sql_conn_id and results_path must not be empty"),
        ({"sql_conn_id": ""}, "sql, sql_conn_id and results_path must not be empty"),
    ],
)
def test_a_wrong_query_fails_without_retry_before_any_request(sandbox, leads, tmp_path, options, message):
    run = run_task(bulk(tmp_path, retries=3, **options))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)
    assert re.search(message, str(run.error))
    assert sandbox.requests == []
    assert not list(tmp_path.glob("results*"))


FAILS_OVER_A_NAME = {
    "postgres": "SELECT name::bigint AS lead_id FROM leads",
    "mysql": "SELECT extractvalue(1, concat(0x7e, name)) AS lead_id FROM leads",
    "sqlite": "SELECT json(name) AS lead_id FROM leads",
}
"""A query whose error has the name in its message, except with SQLite."""


def test_no_personal_data_of_a_query_that_fails(sandbox, leads, database, tmp_path, logged):
    run_sql(database, "UPDATE leads SET name = 'Jane Quill'")
    logged()
    run = run_task(bulk(tmp_path, sql=FAILS_OVER_A_NAME[database.conn_type], retries=3))
    shown = f"{''.join(traceback.format_exception(run.error))} {logged()}"
    assert run.state in {"failed", "up_for_retry"}
    assert "cannot read leads from the database (sql_conn_id 'sql'): " in shown
    assert "Quill" not in shown


ID_TYPES = {"postgres": "NUMERIC(20)", "mysql": "DECIMAL(20)", "sqlite": "VARCHAR(20)"}


def test_decimals_and_unusual_text(sandbox, database, tmp_path):
    lead = sandbox.leads[0]
    utf8 = " CHARACTER SET utf8mb4" if database.conn_type == "mysql" else ""
    run_sql(
        database,
        "DROP TABLE IF EXISTS leads",
        f"CREATE TABLE leads (lead_id {ID_TYPES[database.conn_type]}, owner_id {ID_TYPES[database.conn_type]}, "
        f"name VARCHAR(40)){utf8}",
        f"INSERT INTO leads VALUES ({lead}, NULL, 'Zoë 🦊 O''Quill')",
    )
    run = run_task(bulk(tmp_path, sql="SELECT * FROM leads WHERE name LIKE '%🦊%'"))
    assert (run.state, run.value["converted"]) == ("success", 1), run.error
    assert converted(sandbox, [lead]) == [lead]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_results_in_a_store_without_its_provider(sandbox, leads, tmp_path):
    run = run_task(bulk(tmp_path, results_path="gs://bucket/results.jsonl", retries=3))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)
    needs = "results_path gs://bucket/results.jsonl: gs:// needs the package apache-airflow-providers-google"
    assert str(run.error).startswith(needs)
    assert sandbox.requests == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_limit_and_another_column(sandbox, leads, tmp_path):
    run = run_task(bulk(tmp_path, sql="SELECT lead_id AS id FROM leads", lead_id_column="id", limit=2))
    assert run.value["converted"] == 2
