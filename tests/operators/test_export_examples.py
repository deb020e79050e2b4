"""The example DAGs of the export, task by task, against the sandbox."""

from __future__ import annotations

import importlib.util
import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from pyarrow import parquet

EXAMPLES = Path(__file__).parents[2] / "example_dags"


def run(name, **context):
    """Render and run each task of an example; return their results by task id."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    results = {}
    for task in module.dag.topological_sort():
        task.render_template_fields(context)
        results[task.task_id] = task.execute({})
    return results


@pytest.fixture
def folder(tmp_path):
    return {"params": {"folder": str(tmp_path)}}


def manifest(tmp_path, name):
    return json.loads((tmp_path / name / "_manifest.json").read_text())


def test_daily_incremental(sandbox, tmp_path, folder):
    assert run("leadconv_export_daily_incremental", **folder)["export"]["rows"] == 30
    sandbox.add_conversion()
    assert run("leadconv_export_daily_incremental", **folder)["export"]["rows"] == 1
    assert manifest(tmp_path, "conversions")["rows"] == 31


def test_daily_interval(sandbox, tmp_path, folder):
    created = sorted(datetime.fromisoformat(conversion["created_at"]) for conversion in sandbox.conversions)
    start = created[10]
    end = start + timedelta(days=1)
    run("leadconv_export_daily_interval", data_interval_start=start, data_interval_end=end, **folder)
    rows = parquet.read_table(tmp_path / "days" / f"{start:%Y-%m-%d}.parquet").num_rows
    assert rows == sum(start <= moment < end for moment in created) > 0


def test_final(sandbox, tmp_path, folder):
    assert run("leadconv_export_final", **folder).keys() == {"lossless", "typed"}
    for name in ("conversions-jsonl", "conversions-parquet"):
        assert manifest(tmp_path, name)["verification"]["listed"] == 30


def test_to_postgres(sandbox, tmp_path, monkeypatch):
    """On SQLite, since the DAG names a connection and no database; PostgreSQL is tested in tests/transfers."""
    pytest.importorskip("airflow.providers.sqlite", reason="needs apache-airflow-providers-sqlite")
    connection = {"conn_type": "sqlite", "host": str(tmp_path / "sql.db")}
    monkeypatch.setenv("AIRFLOW_CONN_POSTGRES_DEFAULT", json.dumps(connection))
    assert run("leadconv_export_to_postgres")["export"]["rows"] == 30
    assert run("leadconv_export_to_postgres")["export"]["rows"] == 0
