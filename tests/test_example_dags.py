"""What it costs to parse an example DAG. The DAGs are run in integration/test_examples.py."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.capabilities import NEEDED_BY_EXAMPLES

EXAMPLES = [
    pytest.param(
        path, marks=[NEEDED_BY_EXAMPLES[path.stem].mark] if path.stem in NEEDED_BY_EXAMPLES else [], id=path.stem
    )
    for path in sorted((Path(__file__).parent.parent / "example_dags").glob("*.py"))
]
LOADED = """
import sys
from datetime import datetime
{imports}
from airflow.providers.common.compat.sdk import Asset, BaseOperator, Param, task

def nothing():
    pass

with DAG("of_airflow_alone", schedule="@daily", start_date=datetime(2026, 1, 1), params={{"a": Param(0)}}):
    BaseOperator(task_id="a", outlets=[Asset("of://airflow/alone")]) >> task(nothing)()
before = {{name.partition(".")[0] for name in sys.modules}} | sys.stdlib_module_names
sys.addaudithook(lambda event, _: print("opened", event) if event.startswith("socket.") else None)
exec(compile(open({path!r}).read(), {path!r}, "exec"), {{"__name__": "parsed"}})
loaded = {{name.partition(".")[0] for name in sys.modules}} - before
print("loaded", *sorted(loaded - {{"airflow_provider_leadconv", "msgspec"}}))
"""


def imports_of_airflow(path: Path) -> str:
    """The imports of an example that are not ours, as source, and that which no watcher of an asset can do without."""
    statements = [
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "airflow"
    ]
    assert statements
    watching = ["import airflow.triggers.base"] if "leadconv.assets" in path.read_text() else []
    return "\n".join([*map(ast.unparse, statements), *watching])


@pytest.mark.parametrize("example", EXAMPLES)
def test_parsing_loads_nothing_but_airflow_and_us(example: Path):
    code = LOADED.format(imports=imports_of_airflow(example), path=str(example))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith(("opened", "loaded"))]
    assert said == ["loaded"]
