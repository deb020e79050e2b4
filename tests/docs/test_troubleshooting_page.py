"""Every message in the table is provoked or found in the source; the commands are run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.snippets import REPO, Page, shell

PAGE = Page("docs/troubleshooting.md")


@pytest.mark.airflow
@pytest.mark.slow
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


def wrong_token(sandbox: Sandbox) -> dict:
    return {"password": "of-another-product"}


def write_only(sandbox: Sandbox) -> dict:
    sandbox.add_token("write-only", ["write"])
    return {"password": "write-only"}


def wrong_path(sandbox: Sandbox) -> dict:
    return {"host": f"{sandbox.base_url}/crm", "port": None, "schema": None}


def retired(sandbox: Sandbox) -> dict:
    sandbox.faults = ["retired"]
    return {}


def nobody_listens(sandbox: Sandbox) -> dict:
    sandbox.stop()
    return {"extra": {"timeout": 1, "retry_timeout": 1}}


def plain_http(sandbox: Sandbox) -> dict:
    return {"host": "api.example.com", "port": None}


def misspelt(sandbox: Sandbox) -> dict:
    return {"extra": {"time_out": 3}}


FAULTS: dict[str, Callable[[Sandbox], dict]] = {
    "the API answered 401": wrong_token,
    "the API answered 403": write_only,
    "the API answered 404": wrong_path,
    "the API answered 410": retired,
    "no connection to": nobody_listens,
    "plain http to": plain_http,
    "unknown key": misspelt,
}
SOURCE = "".join(path.read_text() for path in (REPO / "airflow_provider_leadconv").rglob("*.py"))


@pytest.mark.parametrize("message", [row[0].strip("`") for row in PAGE.table("message")])
def test_troubleshooting(message: str, monkeypatch: pytest.MonkeyPatch):
    if message not in FAULTS:
        assert message in SOURCE
        return
    with Sandbox(conversions=1) as sandbox:
        connection = {**sandbox.connection, **FAULTS[message](sandbox)}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        worked, said = LeadConversionHook().test_connection()
    assert not worked
    assert message in said
