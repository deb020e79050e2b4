"""The connections that the page shows, as Airflow and the hook understand them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.hooks.connection_form import EXTRA_FIELDS
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from tests.support.snippets import Page, shell

PAGE = Page("docs/connection.md")
VARIABLE = "AIRFLOW_CONN_LEADCONV_DEFAULT"


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def read(connection: str) -> ClientConfig:
        monkeypatch.setenv(VARIABLE, connection)
        return LeadConversionHook().get_conn().config

    return read


@pytest.fixture
def exported(config, tmp_path: Path):
    return lambda script: config(shell(f'{script}printf %s "${VARIABLE}"', tmp_path))


def test_a_uri(exported):
    found = exported(PAGE.block("bash", "@/?requests"))
    assert (found.token, found.base_url) == ("my-access-token", "https://api.getbase.com")
    assert (found.requests_per_second, found.settle_time) == (5, 60)


def test_json(exported):
    found = exported(PAGE.block("bash", "emea"))
    assert (found.requests_per_second, found.settle_time, found.account) == (5, 60, "emea")


def test_a_host_as_json(config):
    assert config(PAGE.block("json", "gateway")).base_url == "https://gateway.example.com:8443/sell"


def test_a_host_as_a_uri(exported):
    assert exported(PAGE.block("bash", "gateway")).base_url == "https://gateway.example.com:8443"


def test_the_table_of_extra_keys(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", '{"conn_type": "leadconv", "password": "my-access-token"}')
    config = LeadConversionHook().get_conn().config
    rows = {key.strip("`"): default.strip("`") for key, default, _ in PAGE.table("key of extra")}
    assert list(rows) == list(EXTRA_FIELDS)
    in_words = {"proxy": "from the environment", "account": "the connection id"}
    for key, default in rows.items():
        value = getattr(config, key)
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        assert default == in_words.get(key, shown.lower())


def test_all_keys(config, tmp_path: Path):
    ca_file = tmp_path / "ca.crt"
    ca_file.touch()
    shown = PAGE.block("json", "web_base_url").replace("/etc/ssl/certs/ca-certificates.crt", str(ca_file))
    extra = json.loads(shown)["extra"]
    assert list(extra) == list(EXTRA_FIELDS)
    found = config(shown)
    assert {key: getattr(found, key) for key in extra} == extra
    defaults = ClientConfig(token="t")
    assert [key for key in extra if extra[key] == getattr(defaults, key)] == ["allow_http", "check_count"]


@pytest.mark.airflow
def test_the_command_line(airflow_home: Path):
    shown = shell(PAGE.block("bash", "connections add"), airflow_home, AIRFLOW_HOME=str(airflow_home))
    assert "conn_type: leadconv" in shown
    assert "password: my-access-token" in shown
    assert "requests_per_second" in shown
