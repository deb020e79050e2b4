"""What the recorder collects of a test, from a sandbox on a real socket."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import requests

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_task
from tests.support.bulk_runs import bulk_run, client_of
from tests.support.history_recorder import RECORDER, violations_of_process


@pytest.fixture
def account():
    with Sandbox(leads=30, conversions=30, second_conversion="new") as sandbox:
        yield sandbox


def violations(folder=None):
    """And none of them again after the test."""
    return RECORDER.violations(folder)


def test_a_double_conversion(account):
    lead = ConversionRequest(lead_id=account.leads[0])
    with client_of(account) as client:
        first, second = client.post(lead).id, client.post(lead).id
    (violation,) = violations()
    assert violation == f"lead {lead.lead_id} was converted 2 times by us: conversions [{first}, {second}]"
    assert violations() == []


def test_a_double_conversion_is_found_after_the_requests_were_cleared(account):
    lead = ConversionRequest(lead_id=account.leads[0])
    with client_of(account) as client:
        client.post(lead)
        account.clear_requests()
        assert violations() == []
        client.post(lead)
    assert len(violations()) == 1


def test_a_client_without_its_limiter(account):
    unlimited = AdaptiveRateLimiter(1e6, start_rate=1e6)
    config = ClientConfig(token=account.token, base_url=account.base_url, requests_per_second=10)
    with LeadConversionsClient(config, limiter=unlimited) as client:
        for lead in account.leads:
            client.post(ConversionRequest(lead_id=lead))
    (violation,) = violations()
    assert violation.startswith("more than 10 requests per second")


@pytest.mark.parametrize("told", ["converted", "failed", "not_attempted"])
def test_a_results_file(account, tmp_path, told):
    path = tmp_path / "results.jsonl"
    with bulk_run(account, account.leads, path) as job:
        job.run()
    assert violations(tmp_path) == []
    line, *others = path.read_text().splitlines()
    wrong = json.loads(line) | {"status": told, "conversion_id": json.loads(others[0])["conversion_id"]}
    path.write_text("\n".join([json.dumps(wrong), *others]))
    (violation,) = violations(tmp_path)
    assert violation.startswith(f"results.jsonl says that lead {wrong['lead_id']} is {told}, but ")
    path.unlink()


@pytest.mark.parametrize("path", ["folder/", "conversions.jsonl", "conversions.csv.gz", "conversions.parquet"])
def test_an_export(sandbox, tmp_path, path):
    run = run_task(LeadConversionExportOperator(task_id="export", path=f"{tmp_path}/{path}"))
    assert run.state == "success"
    assert violations(tmp_path) == []


@pytest.mark.parametrize("path", ["folder/", "conversions.jsonl"])
def test_an_export_that_lacks_rows(sandbox, tmp_path, path, monkeypatch):
    connection = {**sandbox.connection, "extra": {"check_count": False}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
    sandbox.faults = ["missing_rows"]
    assert run_task(LeadConversionExportOperator(task_id="export", path=f"{tmp_path}/{path}")).state == "success"
    found = violations(tmp_path)
    assert len(found) == 15
    assert all("lacks conversion" in violation for violation in found)


def test_a_summary_is_not_about_a_sandbox_that_earlier_tests_shared(tmp_path):
    with Sandbox(leads=5, conversions=5):
        RECORDER.violations(tmp_path)  # after the last test that used it
    RECORDER.forget()  # before the next one
    RECORDER.add_task(SimpleNamespace(task_id="convert"), None, {"converted": 4}, 0.0)
    assert violations() == []


def test_what_a_task_returned(sandbox):
    task = SimpleNamespace(task_id="wait")
    true, false = sandbox.conversions[0], sandbox.conversions[1] | {"deal_id": 5}
    RECORDER.add_task(task, {"a": [true]}, {"converted": 0}, 0.0)
    assert violations() == []
    RECORDER.add_task(task, [[true, false]], {"converted": 1}, 0.0)
    assert violations() == [
        "wait says that 1 leads were converted, but we converted 0",
        f"XCom of wait has conversion {false['id']} with a wrong deal_id",
    ]


def test_a_file_with_an_invented_row(sandbox, tmp_path):
    path = tmp_path / "conversions.jsonl"
    path.write_text(json.dumps(sandbox.conversions[0] | {"id": 5}))
    assert violations(tmp_path) == ["conversions.jsonl has conversion 5, which there is not"]
    path.unlink()


def test_files_that_are_neither_results_nor_exports(sandbox, tmp_path):
    (tmp_path / "leads.jsonl").write_text('{"lead_id": 5}\n')
    (tmp_path / "torn.jsonl").write_text('{"lead_id": 5, "sta')
    (tmp_path / "leads.csv").write_text("lead_id\n5\n")
    (tmp_path / "numbers.jsonl").write_text("5\n6\n")
    (tmp_path / "empty.csv").write_text("")
    assert violations(tmp_path) == []


def test_a_client_that_follows_to_another_host(sandbox):
    sandbox.faults = ["redirect"]
    response = requests.get(
        f"{sandbox.base_url}/v2/lead_conversions",
        headers={"Authorization": f"Bearer {sandbox.token}", "User-Agent": "tests"},
        allow_redirects=False,
    )
    with pytest.raises(requests.ConnectionError):
        requests.get(response.headers["Location"], headers={"Authorization": f"Bearer {sandbox.token}"})
    assert violations() == [f"{RECORDER.foreign_host.url} was sent the token"]


def test_our_client_does_not_follow(sandbox):
    sandbox.faults = ["redirect"]
    with client_of(sandbox, retry_timeout=1.0) as client, pytest.raises(LeadConversionError):
        client.post(ConversionRequest(lead_id=sandbox.leads[0]))
    assert violations() == []


def test_a_sandbox_in_another_process(account, tmp_path):
    """Read through its control, as if it were in one."""
    lead = ConversionRequest(lead_id=account.leads[0])
    with client_of(account) as client:
        client.post(lead)
        assert violations_of_process(account.base_url, tmp_path) == []
        client.post(lead)
    assert violations_of_process(account.base_url, tmp_path) == violations() != []
