from __future__ import annotations

from pathlib import Path

import duckdb

from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag
from tests.support.snippets import REPO, Page

PAGE = Page("docs/guides/export.md")


def test_daily(sandbox: Sandbox, tmp_path: Path):
    dag = PAGE.dag(PAGE.block("python", "LeadConversionExportOperator"), tmp_path)
    assert run_dag(dag)["export"].value["rows"] == 30
    sandbox.add_conversion()
    assert run_dag(dag)["export"].value["rows"] == 1


def test_reading_what_the_manifest_lists(sandbox: Sandbox, tmp_path: Path):
    folder = f"{tmp_path}/conversions/"
    LeadConversionExportOperator(task_id="export", path=folder).execute({})
    (tmp_path / "conversions" / "part-of-another-run.jsonl").write_text('{"id": 1}\n')
    read = PAGE.run(PAGE.block("python", "_manifest.json"), tmp_path)["conversions"]
    assert sorted(read["id"]) == sorted(row["id"] for row in sandbox.conversions)


def test_partitions_by_day(sandbox: Sandbox, tmp_path: Path):
    LeadConversionExportOperator(task_id="export", path=f"{tmp_path}/conversions.parquet").execute({})
    duckdb.sql(PAGE.block("sql", "PARTITION_BY").replace("/data/", f"{tmp_path}/"))
    days = {row["created_at"][:10] for row in sandbox.conversions}
    assert {path.name for path in (tmp_path / "by_day").iterdir()} == {f"day={day}" for day in days}


def test_the_examples_are_there():
    named = [row[2].strip("`") for row in PAGE.table("goal")]
    assert all((REPO / "example_dags" / f"{name}.py").exists() for name in named)
