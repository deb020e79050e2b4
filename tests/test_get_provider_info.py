"""What Airflow reads about the package, and what reading it costs."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any

import jsonschema
import pytest

from airflow_provider_leadconv.get_provider_info import get_provider_info
from airflow_provider_leadconv.hooks.connection_form import EXTRA_FIELDS
from tests.support.capabilities import AIRFLOW, needs_form_without_hook, needs_retry_policy

PACKAGE = Path(__file__).parents[1] / "airflow_provider_leadconv"
INFO = get_provider_info()
PACKAGES = ("hooks", "operators", "sensors", "triggers", "transfers")
ENTRIES = [entry for package in PACKAGES for entry in INFO.get(package, ())]
LISTED = [module for entry in ENTRIES for module in entry.get("python-modules") or [entry["python-module"]]]


def run_python(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_it_is_valid_by_airflows_own_schema():
    airflow = Path(find_spec("airflow").origin).parent
    jsonschema.validate(INFO, json.loads((airflow / "provider_info.schema.json").read_text()))


@pytest.mark.skipif(AIRFLOW < (3, 4), reason="retry policies of a provider: Airflow 3.4 or later")
def test_the_retry_policies_are_valid_by_airflows_schema_for_providers():
    airflow = Path(find_spec("airflow").origin).parent
    schema = json.loads((airflow / "provider.yaml.schema.json").read_text())
    jsonschema.validate(INFO["retry-policies"], schema["properties"]["retry-policies"])


def test_it_lists_the_retry_policy():
    (entry,) = INFO["retry-policies"]
    assert entry["integration-name"] == INFO["integrations"][0]["integration-name"]
    assert entry["python-modules"] == [f"{PACKAGE.name}.retry_policy"]


def test_it_names_the_package_as_installed():
    installed = distribution("airflow-provider-leadconv")
    assert installed.name == INFO["package-name"]
    assert installed.version == INFO["versions"][0]
    points = installed.entry_points.select(group="apache_airflow_provider")
    assert [point.load() for point in points] == [get_provider_info]


def names_of_ours(value: Any) -> Iterator[str]:
    """Dotted names of our modules, classes and functions, wherever they are in the provider's description."""
    if isinstance(value, str) and value.startswith(f"{PACKAGE.name}."):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from names_of_ours(part)


@pytest.mark.airflow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[needs_retry_policy.mark] if name.endswith(".retry_policy") else [])
        for name in sorted(set(names_of_ours(INFO)))
    ],
)
def test_every_name_it_lists_can_be_imported(name: str):
    assert pkgutil.resolve_name(name)


def test_what_it_lists_belongs_to_an_integration_that_it_describes():
    described = {integration["integration-name"] for integration in INFO["integrations"]}
    listed = {entry["integration-name"] for entry in ENTRIES if "integration-name" in entry}
    assert described == listed == {entry["source-integration-name"] for entry in INFO["transfers"]}
    assert all(integration["external-doc-url"] and integration["tags"] for integration in INFO["integrations"])


def test_every_module_of_the_airflow_integration_is_listed():
    there = {
        f"{PACKAGE.name}.{package}.{path.stem}"
        for package in PACKAGES
        for path in (PACKAGE / package).glob("*.py")
        if any(line.startswith("class LeadConversion") for line in path.read_text().splitlines())
    }
    assert set(LISTED) == there


@pytest.mark.airflow
def test_the_hook_agrees_with_its_connection_type():
    (connection_type,) = INFO["connection-types"]
    module, _, name = connection_type["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (connection_type["connection-type"], connection_type["hook-name"])


@pytest.mark.airflow
@needs_form_without_hook
def test_airflow_makes_the_form_without_importing_the_hook():
    form, imported = run_python("""
        import sys
        from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

        form = next(form for form in HookMetaService.hook_meta_data() if form.connection_type == "leadconv")
        print(form.model_dump_json())
        print("airflow_provider_leadconv.hooks.leadconv" in sys.modules)
    """).splitlines()[-2:]
    shown = json.loads(form)
    assert (shown["hook_name"], imported) == ("Lead Conversions (Zendesk Sell)", "False")
    assert shown["standard_fields"]["password"]["title"] == "Access token"
    assert shown["standard_fields"]["login"]["hidden"]
    assert list(shown["extra_fields"]) == list(EXTRA_FIELDS)
    assert all(field["schema"]["title"] and field["description"] for field in shown["extra_fields"].values())


def test_reading_it_imports_no_airflow():
    output = run_python("""
        import sys
        import airflow_provider_leadconv.get_provider_info
        print(*sorted({name.partition(".")[0] for name in sys.modules} & {"airflow", "requests", "httpx2", "msgspec"}))
    """)
    assert output.split() == []


@pytest.mark.airflow
def test_parsing_a_dag_needs_no_http_client_and_no_socket():
    output = run_python(f"""
        import sys
        from airflow.providers.common.compat.sdk import BaseHook, BaseOperator, BaseSensorOperator
        before = set(sys.modules)
        sys.addaudithook(lambda event, _: print(event) if event.startswith("socket.") else None)
        for module in {LISTED}:
            __import__(module)
        loaded = {{name.partition(".")[0] for name in set(sys.modules) - before}}
        print(*sorted(loaded & {{"aiohttp", "fastapi", "httpx2", "pandas", "pyarrow", "requests", "uvicorn"}}))
    """)
    assert output.split() == []


@pytest.mark.airflow
def test_airflow_accepts_all_of_it_without_a_warning():
    result = subprocess.run(
        [sys.executable, "-W", "always", "-c", dedent(CHECKED)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    version, hook, *links = result.stdout.splitlines()[-1].split()
    assert (version, hook) == (INFO["versions"][0], INFO["connection-types"][0]["hook-class-name"])
    assert set(links) == set(INFO["extra-links"])
    said = (result.stdout + result.stderr).replace(sys.prefix, "").splitlines()  # a clone may be named as we are
    assert [line for line in said if "leadconv" in line and re.search("warning|error", line, re.IGNORECASE)] == []


CHECKED = """
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()
    version = manager.providers["airflow-provider-leadconv"].version
    hook = manager.hooks["leadconv"].hook_class_name
    links = [name for name in manager.extra_links_class_names if "leadconv" in name]
    print(version, hook, *links)
"""
