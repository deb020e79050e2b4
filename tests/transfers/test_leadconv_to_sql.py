from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_leadconv.api.errors import UnavailableError
from airflow_provider_leadconv.transfers.leadconv_to_sql import LeadConversionToSqlOperator


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


def test_incremental_with_a_filter_looks_at_its_own_rows(account, database):
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
        f"created_at {'TIMESTAMPTZ' if database.conn_type == 'postgres' else 'TIMESTAMP'}, "
        f"CONSTRAINT refuse CHECK (id <> {refuse['id']}))"
    )
    with pytest.raises(Exception, match="refuse"):
        export(incremental=True)
    left = rows(database)
    assert left == account.conversions[-1_000:]
    assert len(left) == 1_000


def test_connection_that_is_no_database(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_FILES", json.dumps({"conn_type": "fs"}))
    with pytest.raises(AirflowFailException, match="'files' is a connection of type 'fs', which is no SQL database"):
        export(sql_conn_id="files")
