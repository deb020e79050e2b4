"""The export operator under Airflow's task runner: templates, retries, XCom."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from airflow_harness import run_task

from airflow_provider_leadconv.operators.export import LeadConversionExportOperator


def export(**options):
    return LeadConversionExportOperator(task_id="export", **{"incremental": True, "retries": 1, **options})


def test_result_is_in_xcom(sandbox, tmp_path):
    run = run_task(export(path=f"{tmp_path}/{{{{ ds }}}}/"))
    assert run.state == "success"
    assert run.value == {
        "path": f"{tmp_path}/{datetime.now(UTC):%Y-%m-%d}/",
        "rows": 30,
        "min_id": sandbox.conversions[-1]["id"],
        "max_id": sandbox.conversions[0]["id"],
        "bytes": run.value["bytes"],
        "api_calls": 1,
        "duration_s": run.value["duration_s"],
    }


def test_outage_is_retried_and_a_wrong_token_is_not(sandbox, tmp_path, monkeypatch):
    hasty = sandbox.connection | {"extra": {"timeout": 1, "retry_timeout": 1.5}}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(hasty))
    sandbox.faults = ["error_503"]
    run = run_task(export(path=f"{tmp_path}/"))
    assert run.state == "up_for_retry"
    sandbox.faults = []
    run = run_task(export(path=f"{tmp_path}/"), try_number=2, ledger=run.ledger)
    assert (run.state, run.value["rows"]) == ("success", 30)
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(hasty | {"password": "wrong-token"}))
    assert run_task(export(path=f"{tmp_path}/")).state == "failed"
