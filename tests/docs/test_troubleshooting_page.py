from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from docs.snippets import Page, shell

PAGE = Page("docs/troubleshooting.md")


@pytest.mark.airflow
def test_the_provider_is_installed(airflow_home: Path):
    shown = shell(PAGE.block("bash", "airflow providers"), airflow_home, AIRFLOW_HOME=str(airflow_home))
    assert "airflow-provider-leadconv" in shown


@pytest.mark.airflow
def test_the_connection_works_on_this_machine(sandbox: Sandbox, airflow_home: Path):
    shown = shell(
        PAGE.block("bash", "airflow connections test"),
        airflow_home,
        AIRFLOW_HOME=str(airflow_home),
        AIRFLOW__CORE__TEST_CONNECTION="Enabled",
        AIRFLOW_CONN_LEADCONV_DEFAULT=json.dumps(sandbox.connection),
    )
    assert "Connection success!" in shown
