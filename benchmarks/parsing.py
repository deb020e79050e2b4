"""What our operators cost the DAG processor, beside Airflow's HttpOperator: to import one, and a file of 1,000 tasks.

Each value is CPU time of a fresh process in which Airflow's SDK is loaded already. The file's includes the import, as
the DAG processor parses each file in a new process.
``python -m benchmarks.parsing [REPETITIONS]`` needs ``apache-airflow-providers-http``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.results import Measured

TASKS = 1000
REPETITIONS = 3
HTTP = "HttpOperator"
OPERATORS = {
    HTTP: ("airflow.providers.http.operators.http", 'endpoint="v2/lead_conversions", data="{{ params.lead }}"'),
    "LeadConversionBulkOperator": (
        "airflow_provider_leadconv.operators.bulk",
        'leads_path="/data/{{ ds }}.csv", results_path="/data/results/{{ run_id }}.jsonl"',
    ),
    "LeadConversionExportOperator": (
        "airflow_provider_leadconv.operators.export",
        'path="/data/{{ ds }}/", incremental=True',
    ),
    "LeadConversionToSqlOperator": (
        "airflow_provider_leadconv.transfers.leadconv_to_sql",
        'sql_conn_id="warehouse", table="lead_conversions", incremental=True',
    ),
    "LeadConversionSensor": ("airflow_provider_leadconv.sensors.leadconv", 'lead_id="{{ params.lead }}"'),
}
"""Class -> its module, and arguments of a task."""

DAG_FILE = """
from airflow.providers.common.compat.sdk import DAG
from {module} import {name}

with DAG("measured", schedule=None):
    for number in range({tasks}):
        {name}(task_id=f"task_{{number}}", {arguments})
"""
PARSE = """
import runpy, sys, time
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator

def cpu_ms(work):
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)

path, module = sys.argv[1:]
imported = cpu_ms(lambda: __import__(module))
print(imported, imported + cpu_ms(lambda: runpy.run_path(path)))
"""


def measure(repetitions: int = REPETITIONS) -> Iterator[Measured]:
    """The contestants take turns, so that what else the machine does meets all of them."""
    values: dict[str, list[tuple[float, float]]] = {name: [] for name in OPERATORS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repetitions):
            for name in OPERATORS:
                values[name].append(_parse(name, Path(folder)))
    for name, pairs in values.items():
        imports, parses = ([pair[side] for pair in pairs] for side in (0, 1))
        yield Measured("parsing", "import", name, {"import_cpu_ms": imports})
        yield Measured("parsing", f"{TASKS:,} tasks", name, {"parse_cpu_ms": parses})


def _parse(name: str, folder: Path) -> tuple[float, float]:
    """:return: milliseconds to import the module of a class, and to run a DAG file with many of its tasks."""
    module, arguments = OPERATORS[name]
    dag_file = folder / "dag.py"
    dag_file.write_text(DAG_FILE.format(module=module, name=name, tasks=TASKS, arguments=arguments))
    environment = os.environ | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////nonexistent/none.db",
    }
    command = [sys.executable, "-c", PARSE, str(dag_file), module]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    imported, parsed = output.splitlines()[-1].split()
    return float(imported), float(parsed)


def main() -> None:
    measured = list(measure(int(sys.argv[1]) if len(sys.argv) > 1 else REPETITIONS))
    medians = {(row.case, row.contestant): median(*row.figures.values()) for row in measured}
    print(f"{'':32} {'case':12} {'median ms':>10} {'of ' + HTTP:>18}")
    for (case, name), value in medians.items():
        print(f"{name:32} {case:12} {value:10.1f} {value / medians[case, HTTP]:18.2f}")


if __name__ == "__main__":
    main()
