from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_leadconv.api.exceptions import UnavailableError
from airflow_provider_leadconv.hooks.sql_errors import SqlError
from airflow_provider_leadconv.transfers.leadconv_to_sql import LeadConversionToSqlOperator

pytestmark = pytest.mark.usefixtures("full_rate")

TIME_TYPES = {"postgres": "TIMESTAMPTZ", "sqlite": "TIMESTAMP", "mysql": "DATETIME"}


def export(**options):
    options = {"table": "conversions", "sql_conn_id": "sql", **options}
    return LeadConversionToSqlOperator(task_id="export", **options).execute({})


def rows(database):
    """What is in the table, newest first, as the API would show it."""
    found = database.get_records(
        "SELECT id, lead_id, individual_id, organization_id, deal_id, creator_id, created_at "
        "FROM conversions ORDER BY id DESC"
    )
    names = ("id", "lead_id", "individual_id", "organization_id", "deal_id", "creator_id", "created_at")
    return [dict(zip(names, (*row[:-1], as_utc(row[-1])), strict=True)) for row in found]


def as_utc(moment):
    moment = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def test_table_is_made_and_filled(account, database):
    result = export()
    assert rows(database) == account.conversions
    ids = [conversion["id"] for conversion in account.conversions]
    assert result == {
        "table": "conversions",
        "rows": 1_300,
        "min_id": ids[-1],
        "max_id": ids[0],
        "api_calls": 7,
        "duration_s": result["duration_s"],
    }


def test_again_is_harmless_and_replaces(account, database):
    export()
    database.run("UPDATE conversions SET deal_id = 1")
    export()
    assert rows(database) == account.conversions


def test_incremental(account, database):
    export(incremental=True)
    for _ in range(30):
        account.add_conversion()
    account.clear_requests()
    result = export(incremental=True)
    assert (result["rows"], result["api_calls"]) == (30, 2)
    assert rows(database) == account.conversions
    assert export(incremental=True)["rows"] == 0


def test_an_incremental_load_with_a_filter_has_its_own_watermark(account, database):
    creators = sorted({conversion["creator_id"] for conversion in account.conversions} - {None})
    for creator in (creators[0], creators[1]):
        export(incremental=True, creator_id=creator)
    expected = [c for c in account.conversions if c["creator_id"] in creators[:2]]
    assert rows(database) == expected


def test_failed_run_writes_nothing(account, database, monkeypatch):
    hasty = account.connection | {"extra": {"timeout": 1, "retry_timeout": 1.5}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(hasty))
    account.faults = ["error_503,times=9"]
    with pytest.raises(UnavailableError):
        export()
    assert rows(database) == []
    account.faults = []
    export(incremental=True)
    assert rows(database) == account.conversions


def test_max_id_is_true_after_every_commit(account, database, monkeypatch):
    """A run whose database goes away after the first commit is made good by the next one."""
    refuse = account.conversions[100]
    database.run(
        "CREATE TABLE conversions (id BIGINT PRIMARY KEY, lead_id BIGINT NOT NULL, individual_id BIGINT, "
        "organization_id BIGINT, deal_id BIGINT, creator_id BIGINT, "
        f"created_at {TIME_TYPES[database.conn_type]}, "
        f"CONSTRAINT refuse CHECK (id <> {refuse['id']}))"
    )
    with pytest.raises(SqlError, match="refuse"):
        export(incremental=True)
    left = rows(database)
    assert left == account.conversions[-1_000:]
    assert len(left) == 1_000


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_table_that_does_not_fit_fails_without_retries_before_any_request(account, database):
    database.run("CREATE TABLE conversions (id BIGINT PRIMARY KEY, lead_id TEXT)")
    account.clear_requests()
    with pytest.raises(AirflowFailException, match="table conversions has no column individual_id, organization_id"):
        export()
    assert account.requests == []


def test_the_log_is_free_of_rows_and_statements(account, database, logged):
    """As it would not be with the hook's own way to insert rows."""
    logged()
    export(incremental=True)
    log = logged()
    assert "Wrote 1300 conversions to conversions" in log
    assert "INSERT" not in log
    assert "executemany" not in log.lower()


def test_connection_that_is_no_database(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_FILES", json.dumps({"conn_type": "fs"}))
    with pytest.raises(AirflowFailException, match="'files' is a connection of type 'fs', which is not a SQL database"):
        export(sql_conn_id="files")
