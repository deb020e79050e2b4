from __future__ import annotations

import csv
import json
import logging
from email import message_from_bytes
from pathlib import Path

import pytest

from airflow_provider_leadconv.bulk.outputs.failures import COLUMNS
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.bulk_outputs import CREATED_IDS, MAX_CREATED_IDS
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import Ledger, run_dag, run_task
from tests.support.capabilities import needs_airflow_sdk
from tests.support.smtp_server import SmtpServer
from tests.support.snippets import Page

PAGE = Page("docs/guides/act-on-the-result.md")


@pytest.fixture(autouse=True)
def _patient(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine must not turn a refusal into an unknown outcome."""
    connection = {**sandbox.connection, "extra": {"timeout": 5, "settle_time": 0.2}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))


@pytest.fixture
def leads(sandbox: Sandbox, tmp_path: Path) -> list[int]:
    """A lead that is converted, and one that is refused, in the file of the snippets."""
    leads = [sandbox.leads[0], *sandbox.add_leads(1, convertible=False)]
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads)]))
    return leads


@needs_airflow_sdk
def test_a_callback_has_the_summary(leads: list[int], tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    run = run_dag(PAGE.dag(PAGE.block("python", "def report"), tmp_path))["convert"]
    assert run.state == "failed"
    said = [record.getMessage() for record in caplog.records if record.funcName == "report"]
    assert said[0] == "1 of 2 leads failed"
    assert said[1].startswith(f"Lead {leads[1]}: the API answered 422: ")
    assert said[1].endswith(" (422)")


@needs_airflow_sdk
def test_the_created_contacts(sandbox: Sandbox, tmp_path: Path):
    """Airflow itself expands the last task over what the second one returns."""
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, sandbox.leads[:3])]))
    dag = PAGE.dag(PAGE.block("python", "push_created_ids=True"), tmp_path)
    ledger = Ledger()
    run_task(dag.get_task("convert"), ledger=ledger)
    contacts = run_task(dag.get_task("contacts"), ledger=ledger).value
    created = [row["individual_id"] for row in ledger.xcom("convert", "created_ids")]
    assert contacts == [contact for contact in created if contact]
    assert all(f"`{name}`" in PAGE.text for name in CREATED_IDS)
    assert f"{MAX_CREATED_IDS:,} leads" in PAGE.text


@needs_airflow_sdk
def test_mailing_failures(leads: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with SmtpServer() as server:
        connection = {
            "conn_type": "smtp",
            "host": "127.0.0.1",
            "port": server.port,
            "extra": {"disable_ssl": True, "disable_tls": True},
        }
        monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
        runs = run_dag(PAGE.dag(PAGE.block("python", "EmailOperator"), tmp_path))
    assert {name: run.state for name, run in runs.items()} == dict.fromkeys(runs, "success"), runs
    assert "mail" in runs
    (mail,) = server.mails
    (attached,) = [part for part in message_from_bytes(mail).walk() if part.get_filename()]
    rows = list(csv.DictReader(attached.get_payload(decode=True).decode().splitlines()))
    assert [int(row["lead_id"]) for row in rows] == leads[1:]
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert all(f"`{column.name}`" in PAGE.text for column in COLUMNS)


@needs_airflow_sdk
def test_converting_the_failures_again(leads: list[int], sandbox: Sandbox, tmp_path: Path):
    owner = sandbox.owners[0]
    first = tmp_path / "failures" / "first.csv"
    bad_owner = [{"lead_id": lead, "owner_id": 5, "create_deal": False} for lead in sandbox.add_leads(2)]
    run_task(LeadConversionBulkOperator(task_id="first", leads=bad_owner, failures_path=str(first)))
    first.write_text(first.read_text().replace(",5,false,", f",{owner},false,"))
    run = run_dag(PAGE.dag(PAGE.block("python", "params.failures_path"), tmp_path))["convert"]
    assert (run.state, run.value["converted"]) == ("success", 2)
    posts = [json.loads(request.body)["data"] for request in sandbox.requests if request.method == "POST"]
    assert [(post["owner_id"], post["create_deal"]) for post in posts] == [(5, False)] * 2 + [(owner, False)] * 2


def test_reading_results(sandbox: Sandbox, tmp_path: Path):
    bad_owner = [{"lead_id": lead, "owner_id": 5} for lead in sandbox.add_leads(1)]
    operator = LeadConversionBulkOperator(
        task_id="convert",
        leads=[sandbox.leads[0], *bad_owner],
        results_path=str(tmp_path / "results.parquet"),
        max_failures=1,
    )
    run_task(operator)
    names = PAGE.run(PAGE.block("python", "read_results"), tmp_path)
    assert names["rejected"] == [row["lead_id"] for row in bad_owner]
