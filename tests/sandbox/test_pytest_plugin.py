"""The fixtures that users get, in a pytest run of their own."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

CONVERT = """
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook


def test_a_conversion(leadconv_sandbox, leadconv_connection):
    lead_id = leadconv_sandbox.leads[0]
    assert LeadConversionHook().convert_lead(lead_id).outcome == "converted"
    assert leadconv_sandbox.conversion_counts[lead_id] == 1
"""

LISTEN = """
import sys

HEAVY = {"airflow", "fastapi", "httpx", "msgspec", "requests", "uvicorn"}


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


def test_a_sandbox_and_a_connection_to_it(pytester: pytest.Pytester):
    pytester.makepyfile(CONVERT)
    pytester.runpytest_subprocess().assert_outcomes(passed=1)


def test_it_costs_nothing_at_the_start(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    pytester.makepyfile(LISTEN)
    only_ours = ("-p", "airflow_provider_leadconv.sandbox.pytest_plugin")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.runpytest_subprocess(*only_ours).assert_outcomes(passed=1)


def test_without_the_extra_there_are_no_fixtures(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    pytester.makepyfile(no_uvicorn=WITHOUT)
    pytester.makepyfile(CONVERT)
    pytester.syspathinsert()
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    plugins = ("-p", "no_uvicorn", "-p", "airflow_provider_leadconv.sandbox.pytest_plugin")
    result = pytester.runpytest_subprocess(*plugins)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*fixture 'leadconv_sandbox' not found*")
