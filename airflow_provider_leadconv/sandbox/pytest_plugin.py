"""Fixtures for the tests of your own DAGs, there when the extra ``sandbox`` is installed.

pytest loads this module in every run of everybody who has the package, so it imports nothing of ours or of Airflow.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox import Sandbox

if find_spec("fastapi") and find_spec("uvicorn"):

    @pytest.fixture
    def leadconv_sandbox() -> Iterator[Sandbox]:
        """A running sandbox with 20 leads to convert and 30 conversions, without a rate limit."""
        from airflow_provider_leadconv.sandbox import Sandbox

        with Sandbox(leads=20, conversions=30) as sandbox:
            yield sandbox

    @pytest.fixture
    def leadconv_connection(leadconv_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The connection ``leadconv_default``, which leads to ``leadconv_sandbox`` during the test."""
        connection = {**leadconv_sandbox.connection, "extra": {"timeout": 2, "settle_time": 0.1}}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        return connection
