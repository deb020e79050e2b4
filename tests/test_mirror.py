"""``tests/`` mirrors the package: the tests of ``X/Y.py`` are in ``tests/X/test_Y.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "airflow_provider_leadconv"

SUITES = {
    "test_architecture.py": "the imports of all modules",
    "test_benchmarks.py": "benchmarks/",
    "test_capabilities.py": "tests/support/capabilities.py and the table in docs/compatibility.md",
    "test_example_dags.py": "example_dags/",
    "test_docstrings.py": "the docstrings of all modules",
    "test_mirror.py": "tests/",
    "api/transports/test_decoding.py": "what decoding costs: memory, and the time that it blocks an event loop",
    "api/transports/test_hostile_frames.py": "hypothesis: bytes that are hardly HTTP, over sockets",
    "bulk/test_faults.py": "a whole bulk run over sockets while every fault occurs",
    "bulk/test_kill.py": "series of SIGKILL and restart",
    "bulk/test_large.py": "memory of large batches, and a rate limit that processes share",
    "bulk/test_simulation.py": "tests/support/simulation/: any history of a bulk, drawn from a seed",
    "bulk/test_state_machine.py": "hypothesis: any schedule of faults, kills and restarts",
    "bulk/test_reruns.py": "every way in which a bulk runs again",
    "bulk/test_rerun_processes.py": "the same with real processes, signals and forks",
    "export/test_hostile_listing.py": "exports of a listing that contradicts itself, over sockets",
    "export/test_properties.py": "hypothesis: any schedule of growth, kills and restarts",
    "export/test_readers.py": "exported files in pandas, DuckDB and pyarrow",
    "export/test_series.py": "series of SIGKILL and restart, memory, all faults at once",
    "operators/test_bulk_approval.py": "the example with ApprovalOperator, which only some versions of Airflow have",
    "operators/test_export_examples.py": "the example DAGs of the export",
    "sandbox/test_foreign_clients.py": "dlt, singer-sdk and curl, which follow links of the sandbox",
    "storage/test_shared_folders.py": "every file of exports and bulk runs in a folder that others can write to",
    "triggers/test_runner.py": "a thousand triggers in Airflow's own trigger runner",
}
"""Test modules that mirror no module, and what they test."""

SUITE_FOLDERS = {
    "cluster": "the package on Celery workers",
    "docs": "the snippets of the documentation, a test module for each page",
    "integration": "the package in a running Airflow",
    "project": "the files that contributors work with: commands, workflows, hooks, licences",
    "support": "what the tests share",
    "ui": "the package in Airflow's web UI",
}

UNTESTED = {
    "account_check/observation.py": "tests/account_check/test_questions.py, over sockets",
    "account_check/report.py": "tests/account_check/test_questions.py and tests/test_check.py print it",
    "api/http.py": "records; tests/api/test_queries.py has their target",
    "api/transports/deadline.py": "tests/api/transports/test_requests_transport.py, over sockets",
    "api/transports/httpx2_transport.py": "tests/api/test_async_client.py, over sockets",
    "bulk/inputs/csv_rows.py": "tests/bulk/inputs/test_files.py, with files of every kind",
    "bulk/inputs/errors.py": "a declaration",
    "bulk/inputs/json_rows.py": "tests/bulk/inputs/test_files.py, with files of every kind",
    "bulk/inputs/parquet_rows.py": "tests/bulk/inputs/test_files.py, with files of every kind",
    "bulk/outputs/records.py": "declarations; tests/bulk/outputs/test_results.py writes and reads them",
    "operators/lead_source.py": "tests/operators/test_bulk.py and test_lead_query.py have leads from every source",
    "hooks/parameters.py": "tests/operators/test_bulk.py passes each value to the operator",
    "sandbox/fault_kinds.py": "declarations; tests/sandbox/test_faults.py goes through them",
    "sandbox/table.py": "the columns of the store; tests/sandbox/test_store.py",
}
"""Modules with logic that have no test module, and why."""


def mirror_of(module: str) -> str:
    path = Path(module)
    return str(path.with_name(f"test_{path.stem.strip('_')}.py"))


MODULES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")
TEST_MODULES = sorted(str(path.relative_to(TESTS)) for path in TESTS.rglob("test_*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_test_module_or_a_reason(module: str):
    assert (mirror_of(module) in TEST_MODULES) != (module in UNTESTED)


@pytest.mark.parametrize("test_module", TEST_MODULES)
def test_a_test_module_has_a_module_or_a_reason(test_module: str):
    mirrors = test_module in map(mirror_of, MODULES)
    assert [mirrors, test_module in SUITES, test_module.split("/")[0] in SUITE_FOLDERS].count(True) == 1


def test_every_exception_exists():
    assert set(UNTESTED) <= set(MODULES)
    assert set(SUITES) <= set(TEST_MODULES)
    assert all((TESTS / name).is_dir() for name in SUITE_FOLDERS)
