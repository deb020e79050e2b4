from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.databases import DATABASES, database_hook


@pytest.fixture
def account(monkeypatch):
    with Sandbox(conversions=1_300) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(sandbox.connection))
        yield sandbox


@pytest.fixture(params=DATABASES)
def database(request, tmp_path, monkeypatch):
    """The hook of a database, which the connection ``sql`` names, and in which there is no table yet."""
    hook = database_hook(request.param, request, tmp_path, monkeypatch)
    hook.run("DROP TABLE IF EXISTS conversions")
    return hook
