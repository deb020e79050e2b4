"""The steps of the page, one after the other, against the sandbox."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from airflow_provider_leadconv.check import main
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag
from tests.support.snippets import Page

PAGE = Page("docs/first-bulk.md")


@pytest.mark.usefixtures("full_rate")
def test_the_check(sandbox: Sandbox):
    assert main(shlex.split(PAGE.block("bash", "leadconv.check"))[3:]) == 0


def test_from_the_dry_run_to_the_rerun(sandbox: Sandbox, tmp_path: Path):
    (refused,) = sandbox.add_leads(1, convertible=False)
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, [*sandbox.leads, refused])]))
    dag = PAGE.dag(PAGE.block("python", "LeadConversionBulkOperator"), tmp_path)

    def run(**params: object):
        return run_dag(dag, conf=params)["convert"]

    dry = run(limit=None)
    assert (dry.value["leads"], dry.value["would_convert"], dry.value["existing"]) == (21, 21, 0)
    assert len(sandbox.conversions) == 30
    first = run(dry_run=False, limit=10)
    assert first.value["converted"] == 10
    everything = run(dry_run=False, limit=None)
    assert (everything.state, str(everything.error).count("converted")) != ("success", 0)
    assert len(sandbox.conversions) == 50
    left = PAGE.run(PAGE.block("python", "Counter"), tmp_path)["open_results"]
    assert [result["lead_id"] for result in left] == [refused]
