"""The fixtures that users get, in a pytest run of their own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONVERT = """
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook


def test_a_conversion(leadconv_sandbox, leadconv_connection):
    lead_id = leadconv_sandbox.leads[0]
    assert LeadConversionHook().convert_lead(lead_id).status == "converted"
    assert leadconv_sandbox.conversion_counts[lead_id] == 1


def test_the_rate_that_a_client_starts_with_does_not_slow_tests_down(leadconv_sandbox, leadconv_connection):
    with LeadConversionHook().get_conn() as client:
        assert AdaptiveRateLimiter(client.config.requests_per_second).rate >= 100
    assert leadconv_sandbox.settings.rate == 0
"""

LISTEN = """
import sys

HEAVY = {"airflow", "fastapi", "httpx2", "msgspec", "requests", "uvicorn"}


def test_nothing_heavy_is_imported():
    assert "airflow_provider_leadconv.sandbox.pytest_plugin" in sys.modules
    assert not HEAVY & set(sys.modules)
"""

WITHOUT = """
import importlib.util
import sys

find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "uvicorn" else find_spec(name, *rest)
"""


def test_fixtures_give_a_sandbox_and_a_connection(pytester: pytest.Pytester):
    pytester.makepyfile(CONVERT)
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_plugin_imports_nothing_heavy(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    pytester.makepyfile(LISTEN)
    only_ours = ("-p", "airflow_provider_leadconv.sandbox.pytest_plugin")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.runpytest_subprocess(*only_ours).assert_outcomes(passed=1)


@pytest.mark.slow
def test_missing_extra_means_no_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    pytester.makepyfile(no_uvicorn=WITHOUT)
    pytester.makepyfile(CONVERT)
    pytester.syspathinsert()
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugins = ("-p", "no_uvicorn", "-p", "airflow_provider_leadconv.sandbox.pytest_plugin")
    result = pytester.runpytest_subprocess(*plugins)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines("*fixture 'leadconv_sandbox' not found*")
