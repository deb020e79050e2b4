"""The links of a task, by the way Airflow takes to them."""

from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.get_provider_info import get_provider_info
from airflow_provider_leadconv.links import FileLink, SellLink, conversion_url, file_url, record_url
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor
from tests.support.airflow_harness import link_of, run_task

APP = "https://app.futuresimple.com"


@pytest.mark.parametrize(
    ("base", "kind", "url"),
    [
        (APP, "lead", f"{APP}/leads/7"),
        (APP + "/", "contact", f"{APP}/crm/contacts/7"),
        (APP, "deal", f"{APP}/sales/deals/7"),
        ("https://acme.zendesk.com", "lead", "https://acme.zendesk.com/sales/leads/7"),
        ("https://acme.zendesk.com", "contact", "https://acme.zendesk.com/sales/contacts/7"),
    ],
)
def test_records(base: str, kind: str, url: str):
    assert record_url(base, kind, 7) == url


def test_a_conversion_is_its_deal_or_a_contact():
    made = {"deal_id": 1, "individual_id": 2, "organization_id": 3}
    assert conversion_url(APP, made) == f"{APP}/sales/deals/1"
    assert conversion_url(APP, made | {"deal_id": None}) == f"{APP}/crm/contacts/2"
    assert conversion_url(APP, {"organization_id": 3}) == f"{APP}/crm/contacts/3"
    assert conversion_url(APP, {}) is None


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("s3://my_conn@bucket/a b/c.jsonl", "https://s3.console.aws.amazon.com/s3/object/bucket?prefix=a%20b/c.jsonl"),
        ("s3://bucket/a/", "https://s3.console.aws.amazon.com/s3/buckets/bucket?prefix=a/"),
        ("gs://bucket/a/c.csv", "https://console.cloud.google.com/storage/browser/_details/bucket/a/c.csv"),
        ("gs://c@bucket/a/", "https://console.cloud.google.com/storage/browser/bucket/a/"),
        ("https://user:secret@host/c.csv", "https://host/c.csv"),
        ("/data/c.csv", None),
        (None, None),
    ],
)
def test_files(path: str | None, url: str | None):
    assert file_url(path) == url


def test_the_links_are_registered():
    classes = {f"{link.__module__}.{link.__name__}" for link in (SellLink, FileLink)}
    assert set(get_provider_info()["extra-links"]) == classes


def test_a_sensor_links_to_what_the_lead_became(sandbox: Sandbox):
    conversion = sandbox.conversions[4]
    run = run_task(LeadConversionSensor(task_id="wait", lead_id=conversion["lead_id"]))
    assert link_of(run, SellLink) == conversion_url(APP, conversion)


def test_a_bulk_links_to_the_first_lead_that_was_not_converted(sandbox: Sandbox):
    unknown_to_sell = 4_000_000_000
    run = run_task(LeadConversionBulkOperator(task_id="convert", leads=[sandbox.leads[0], unknown_to_sell]))
    assert run.state == "failed"
    assert link_of(run, SellLink) == f"{APP}/leads/{unknown_to_sell}"


def test_a_bulk_without_failures_links_nowhere(sandbox: Sandbox):
    run = run_task(LeadConversionBulkOperator(task_id="convert", leads=sandbox.leads[:2]))
    assert run.state == "success"
    assert link_of(run, SellLink) == ""
    assert link_of(run, FileLink) == ""


@pytest.mark.parametrize(
    ("make", "state"),
    [
        (lambda sandbox, folder: LeadConversionBulkOperator(task_id="t", leads=sandbox.leads[:1]), "success"),
        (lambda sandbox, folder: LeadConversionBulkOperator(task_id="t", leads=["x"]), "failed"),
        (lambda sandbox, folder: LeadConversionExportOperator(task_id="t", path=f"{folder}/a.csv"), "success"),
        (lambda sandbox, folder: LeadConversionExportOperator(task_id="t", path=f"{folder}/a.abc"), "failed"),
        (lambda sandbox, folder: LeadConversionSensor(task_id="t", lead_id=[]), "success"),
        (lambda sandbox, folder: LeadConversionSensor(task_id="t", lead_id=[sandbox.leads[0]], timeout=0), "failed"),
    ],
    ids=["bulk", "failed bulk", "export", "failed export", "sensor", "failed sensor"],
)
def test_a_task_without_a_link_reads_no_xcom_that_is_missing(sandbox: Sandbox, tmp_path, make, state: str):
    run = run_task(make(sandbox, tmp_path))
    assert run.state == state
    assert list(run.ledger.xcoms_not_found) == []


def test_the_web_app_is_that_of_the_connection(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    connection = {**sandbox.connection, "extra": {"web_base_url": "https://acme.zendesk.com"}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
    run = run_task(LeadConversionSensor(task_id="wait", lead_id=sandbox.conversions[0]["lead_id"]))
    assert link_of(run, SellLink).startswith("https://acme.zendesk.com/sales/")


def test_an_export_links_to_its_file(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr("airflow_provider_leadconv.operators.export.file_url", lambda path: f"https://files{path}")
    path = str(tmp_path / "conversions.jsonl")
    run = run_task(LeadConversionExportOperator(task_id="export", path=path))
    assert run.state == "success"
    assert link_of(run, FileLink) == f"https://files{path}"
