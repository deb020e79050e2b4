"""The example: dry run, approval, conversion."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from unittest import mock

import pytest

from tests.support.airflow_harness import Ledger, run_task
from tests.support.capabilities import needs_approval

EXAMPLE = Path(__file__).parents[2] / "example_dags" / "leadconv_bulk_approval.py"


@pytest.fixture
def dag():
    spec = importlib.util.spec_from_file_location("leadconv_bulk_approval", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.approve.dag


@needs_approval
def test_what_was_approved_is_converted(sandbox, tmp_path, dag):
    leads = sandbox.leads[:4]
    sandbox.add_conversion(leads[1])
    (tmp_path / "leads.csv").write_text("lead_id\n" + "\n".join(map(str, leads)))
    conf = {"leads_path": str(tmp_path / "leads.csv"), "folder": str(tmp_path)}
    ledger = Ledger()
    reported = run_task(dag.get_task("dry_run"), conf=conf, ledger=ledger)
    assert (reported.value["would_convert"], reported.value["existing"]) == (3, 1)
    assert [request.method for request in sandbox.requests] == ["GET"]

    (tmp_path / "leads.csv").write_text("lead_id\n5\n")
    done = run_task(dag.get_task("convert"), conf=conf, ledger=ledger)
    assert (done.state, done.value["converted"]) == ("success", 3)
    assert {lead: sandbox.conversion_counts[lead] for lead in leads} == dict.fromkeys(leads, 1)
    lines = [json.loads(line) for line in Path(done.value["results_path"]).read_text().splitlines()]
    assert [line["lead_id"] for line in lines] == [leads[0], leads[2], leads[3]]


@needs_approval
def test_the_approval_shows_the_number_of_leads(sandbox, tmp_path, dag):
    (tmp_path / "leads.csv").write_text("lead_id\n" + "\n".join(map(str, sandbox.leads[:4])))
    conf = {"leads_path": str(tmp_path / "leads.csv"), "folder": str(tmp_path)}
    ledger = Ledger()
    run_task(dag.get_task("dry_run"), conf=conf, ledger=ledger)
    with mock.patch("airflow.providers.standard.operators.hitl.upsert_hitl_detail") as asked:
        waiting = run_task(dag.get_task("approve"), conf=conf, ledger=ledger)
    assert waiting.state in {"deferred", "awaiting_input"}
    question = asked.call_args.kwargs
    assert question["subject"] == "Convert 4 leads?"
    assert question["body"].startswith(f"Of 4 leads in `{tmp_path}/leads.csv`, 0 are converted already. ")
    assert question["options"] == ["Approve", "Reject"]
