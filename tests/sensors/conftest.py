from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.sandbox import Sandbox


@pytest.fixture(autouse=True)
def _quick_polls(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, full_rate: None) -> None:
    monkeypatch.setattr("airflow_provider_leadconv.triggers.shared_reader.MIN_INTERVAL", 0.05)
    extra = {"timeout": 2, "settle_time": 0.1, "requests_per_second": 1000}
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "extra": extra}))
