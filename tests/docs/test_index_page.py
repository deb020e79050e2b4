from __future__ import annotations

from pathlib import Path

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag
from tests.support.snippets import PAGES, Page

PAGE = Page("docs/index.md")


def test_the_example(sandbox: Sandbox, tmp_path: Path):
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, sandbox.leads)]))
    runs = run_dag(PAGE.dag(PAGE.block("python", "LeadConversionBulkOperator"), tmp_path))
    assert (runs["convert"].value["converted"], runs["export"].value["rows"]) == (20, 50), runs


def test_every_page_is_listed():
    pages = [path.removeprefix("docs/") for path in PAGES if path.startswith("docs/") and path != PAGE.path]
    assert [page for page in pages if f"]({page})" not in PAGE.text] == []
