"""Permanent errors fail a task at once, with one message and before any request; others leave it its retries."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException, task

import tests.support.exports  # noqa: F401  # the check after each test needs it, also without pyarrow and zstandard
from airflow_provider_leadconv.api.exceptions import (
    PERMANENT_ERRORS,
    InvalidResponseError,
    RateLimitedError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.hooks.permanent_errors import fail_without_retry
from airflow_provider_leadconv.leads import split_leads
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor
from airflow_provider_leadconv.transfers.leadconv_to_sql import LeadConversionToSqlOperator
from tests.support.airflow_harness import run_task


@pytest.mark.parametrize("kind", [*PERMANENT_ERRORS, AirflowNotFoundException, ImportError])
def test_a_permanent_error_fails_without_retries(kind, caplog):
    error = kind("no")
    with (
        caplog.at_level(logging.DEBUG),
        pytest.raises(AirflowFailException) as caught,
        fail_without_retry(),
    ):
        raise error
    assert str(caught.value) == str(error)
    assert caught.value.__suppress_context__, "Airflow would log the chain"
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error], "the debug log has it"


@pytest.mark.parametrize(
    "kind", [UnavailableError, RateLimitedError, InvalidResponseError, UnknownOutcomeError, OSError]
)
def test_any_other_error_is_passed_on(kind):
    error = kind("no")
    with pytest.raises(kind) as caught, fail_without_retry():
        raise error
    assert caught.value is error


class Scene(NamedTuple):
    """Where a task runs.

    :param folder: a folder of its own, with files that a cause may use.
    """

    sandbox: Sandbox
    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def connect(self, conn_id: str, **fields: Any) -> None:
        self.monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))

    def uninstall(self, module: str) -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == module]:
            self.monkeypatch.delitem(sys.modules, name)
        self.monkeypatch.setitem(sys.modules, module, None)


def bulk(scene: Scene, **options: Any) -> LeadConversionBulkOperator:
    leads = {} if "leads_path" in options else {"leads": scene.sandbox.leads[:3]}
    return LeadConversionBulkOperator(task_id="t", retries=1, **{**leads, **options})


def export(scene: Scene, **options: Any) -> LeadConversionExportOperator:
    return LeadConversionExportOperator(
        task_id="t", retries=1, **{"path": str(scene.folder / "out" / "conversions.jsonl"), **options}
    )


def sensor(mode: str) -> Callable[..., LeadConversionSensor]:
    where = {"deferrable": True} if mode == "deferrable" else {"mode": mode}

    def make(scene: Scene, **options: Any) -> LeadConversionSensor:
        return LeadConversionSensor(task_id="t", retries=1, lead_id=scene.sandbox.leads[0], **where, **options)

    return make


def to_sql(scene: Scene, **options: Any) -> LeadConversionToSqlOperator:
    scene.connect("database", conn_type="sqlite", host=str(scene.folder / "sql.db"))
    return LeadConversionToSqlOperator(
        task_id="t", retries=1, **{"table": "conversions", "sql_conn_id": "database", **options}
    )


def split(scene: Scene, **options: Any) -> Any:
    (scene.folder / "leads.csv").write_text("lead_id\n1\n")
    paths = {"leads_path": f"{scene.folder}/leads.csv", "chunks_path": f"{scene.folder}/chunks/"}
    return task(split_leads, task_id="t", retries=1)(**{**paths, **options}).operator


USERS_OF_THE_API = {
    "bulk": bulk,
    "export": export,
    "sensor": sensor("poke"),
    "rescheduled sensor": sensor("reschedule"),
    "deferrable sensor": sensor("deferrable"),
    "to sql": to_sql,
}


def missing_connection(make: Callable[..., Any]) -> Callable[[Scene], Any]:
    return lambda scene: make(scene, leadconv_conn_id="absent")


def connection_with(make: Callable[..., Any], **fields: Any) -> Callable[[Scene], Any]:
    def prepare(scene: Scene) -> Any:
        scene.connect("leadconv_default", **{**scene.sandbox.connection, **fields})
        return make(scene)

    return prepare


def with_path(make: Callable[..., Any], **paths: str) -> Callable[[Scene], Any]:
    def prepare(scene: Scene) -> Any:
        (scene.folder / "file").write_text("x\n")
        return make(scene, **{name: path.format(folder=scene.folder) for name, path in paths.items()})

    return prepare


def without_module(make: Callable[..., Any], module: str, **options: Any) -> Callable[[Scene], Any]:
    def prepare(scene: Scene) -> Any:
        (scene.folder / "leads.parquet").write_bytes(b"PAR1")
        scene.uninstall(module)
        return make(scene, **{name: value.format(folder=scene.folder) for name, value in options.items()})

    return prepare


def with_table(columns: str) -> Callable[[Scene], Any]:
    def prepare(scene: Scene) -> Any:
        connection = sqlite3.connect(scene.folder / "sql.db")
        connection.execute(f"CREATE TABLE conversions ({columns})")
        connection.close()
        return to_sql(scene)

    return prepare


def with_database_of_type(conn_type: str) -> Callable[[Scene], Any]:
    def prepare(scene: Scene) -> Any:
        scene.connect("other", conn_type=conn_type)
        return to_sql(scene, sql_conn_id="other")

    return prepare


CAUSES: dict[str, tuple[Callable[[Scene], Any], str]] = {
    **{
        f"{name}: {cause}": (prepare(make), message)
        for name, make in USERS_OF_THE_API.items()
        for cause, prepare, message in [
            ("missing connection", missing_connection, "the Airflow connection 'absent' does not exist. Create it"),
            ("wrong extra", lambda make: connection_with(make, extra={"timeout": "x"}), "'timeout' in extra must be a"),
            ("unknown key", lambda make: connection_with(make, extra={"time_out": 1}), "did you mean 'timeout'?"),
            ("wrong host", lambda make: connection_with(make, host="a b"), "host is not a valid URL"),
            ("wrong token", lambda make: connection_with(make, password="a b"), "the password is not an access token"),
        ]
    },
    "bulk: missing leads_path": (with_path(bulk, leads_path="{folder}/absent.csv"), "leads_path {folder}/absent.csv:"),
    "bulk: leads_path is a folder": (with_path(bulk, leads_path="{folder}"), "cannot use leads_path {folder}:"),
    "bulk: leads_path in an unknown store": (with_path(bulk, leads_path="ftp2://x/a.csv"), "leads_path ftp2://x/a.csv"),
    "bulk: results_path below a file": (with_path(bulk, results_path="{folder}/file/r.jsonl"), "results_path"),
    "bulk: results_path without permission": (with_path(bulk, results_path="/sys/r/r.jsonl"), "results_path /sys/r/r."),
    "bulk: results_path in an unknown store": (with_path(bulk, results_path="ftp2://x/r.jsonl"), "results_path ftp2"),
    "bulk: Parquet without pyarrow": (
        without_module(bulk, "pyarrow", leads_path="{folder}/leads.parquet"),
        "[parquet]",
    ),
    "export: path below a file": (with_path(export, path="{folder}/file/c.jsonl"), "path {folder}/file/c.jsonl:"),
    "export: folder below a file": (with_path(export, path="{folder}/file/c/"), "cannot use path {folder}/file/c/:"),
    "export: folder without permission": (with_path(export, path="/sys/c/"), "cannot use path /sys/c/:"),
    "export: path in an unknown store": (with_path(export, path="ftp2://x/c.jsonl"), "path ftp2://x/c.jsonl"),
    "export: Parquet without pyarrow": (without_module(export, "pyarrow", path="{folder}/c.parquet"), "[parquet]"),
    "export: folder without pyarrow": (
        without_module(export, "pyarrow", path="{folder}/c/", file_format="parquet"),
        "[parquet]",
    ),
    "export: zst without zstandard": (without_module(export, "zstandard", path="{folder}/c.csv.zst"), "[zstd]"),
    "to sql: missing connection of the database": (
        lambda scene: to_sql(scene, sql_conn_id="absent"),
        "sql_conn_id: the Airflow connection 'absent' does not exist",
    ),
    "to sql: provider not installed": (with_database_of_type("nodb"), "of type 'nodb', which needs the package"),
    "to sql: no database": (with_database_of_type("fs"), "of type 'fs', which is not a SQL database"),
    "to sql: a column is missing": (
        with_table(
            "id BIGINT PRIMARY KEY, lead_id BIGINT, individual_id BIGINT, organization_id BIGINT, deal_id BIGINT"
        ),
        "table conversions has no column creator_id, created_at; it has id, lead_id",
    ),
    "split_leads: missing leads_path": (with_path(split, leads_path="{folder}/absent.csv"), "leads_path {folder}/abs"),
    "split_leads: chunks_path below a file": (with_path(split, chunks_path="{folder}/file/c/"), "chunks_path {folder}"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_permanent_cause_fails_the_first_try_before_any_request(sandbox, tmp_path, monkeypatch, cause):
    prepare, message = CAUSES[cause]
    run = run_task(prepare(Scene(sandbox, tmp_path, monkeypatch)))
    assert (run.state, type(run.error)) == ("failed", AirflowFailException)
    assert run.error.__suppress_context__
    assert message.format(folder=tmp_path) in str(run.error)
    assert len(str(run.error).splitlines()) == 1
    assert sandbox.requests == []
