"""Shared by all tests. Airflow is kept in a folder of its own, without a database, before anything imports it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox import Sandbox

_home = tempfile.TemporaryDirectory(prefix="leadconv-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/none.db",
}


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that ``leadconv_default`` leads to, without a rate limit and quick to settle."""
    from airflow_provider_leadconv.sandbox import Sandbox

    with Sandbox(leads=20, conversions=30) as sandbox:
        connection = {**sandbox.connection, "extra": {"timeout": 2, "settle_time": 0.1}}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        yield sandbox
