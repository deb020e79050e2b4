"""Fixtures for the tests of your own DAGs, available if the extra ``sandbox`` is installed.

pytest loads this module in every run, so it imports neither Airflow nor the rest of this package.
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
        """A running sandbox with 20 leads, 30 conversions and no rate limit."""
        from airflow_provider_leadconv.sandbox import Sandbox

        with Sandbox(leads=20, conversions=30) as sandbox:
            yield sandbox

    @pytest.fixture
    def leadconv_connection(leadconv_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The connection ``leadconv_default``, set to ``leadconv_sandbox`` during the test, without long waits."""
        extra = {"requests_per_second": 1000, "timeout": 2, "settle_time": 0.1}
        connection = {**leadconv_sandbox.connection, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        return connection
