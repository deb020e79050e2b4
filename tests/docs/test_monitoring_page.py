from __future__ import annotations

from airflow_provider_leadconv import metrics
from airflow_provider_leadconv.links import FileLink, SellLink
from tests.support.snippets import Page

PAGE = Page("docs/monitoring.md")


def test_the_table_of_counters():
    assert [row[0] for row in PAGE.table("counter")] == [f"`leadconv.{name}`" for name in metrics.NAMES]


def test_the_table_of_links():
    assert [row[0].strip("*") for row in PAGE.table("button in the tab **Details**")] == [SellLink.name, FileLink.name]
