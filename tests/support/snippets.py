"""The code on the pages of the documentation, found by what is in it, and run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from tests.support.capabilities import AIRFLOW

REPO = Path(__file__).parents[2]
PAGES = sorted(str(path.relative_to(REPO)) for path in [REPO / "README.md", *(REPO / "docs").rglob("*.md")])


class Page:
    """A page with its code.

    :param path: from the root of the repository.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.text = (REPO / path).read_text()
        fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)
        self.blocks = [(language, code) for language, code in fenced if not language.startswith("{")]

    def block(self, language: str, containing: str) -> str:
        """The one block of a language with a text in it."""
        (found,) = [code for name, code in self.blocks if name == language and containing in code]
        return found

    def table(self, first_header: str) -> list[list[str]]:
        """Rows of the table whose first column has this header."""
        _, _, rest = self.text.partition(f"\n| {first_header} |")
        rows = [line for line in rest.partition("\n\n")[0].splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]

    def run(self, code: str, folder: Path, **given: object) -> dict[str, object]:
        """Run Python, with its files in another folder.

        :param given: names that the text around it has introduced.
        :return: its names.
        """
        names = dict(given)
        for place in ("/data/", "s3://aws_default@bucket/"):
            code = code.replace(place, f"{folder}/")
        if AIRFLOW < (3, 0):  # as docs/compatibility.md says
            code = code.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")
        exec(compile(code, self.path, "exec"), names)
        return names

    def dag(self, code: str, folder: Path) -> DAG:
        """Run Python and take its DAG."""
        dag = self.run(code, folder)["dag"]
        assert isinstance(dag, DAG)
        return dag


class TriggeringEvents:
    """The events of an asset as a task gets them. No dict: assets of Airflow 3.0 have no hash.

    :param asset: what the DAG is scheduled by.
    :param payloads: of the events.
    """

    def __init__(self, asset: Any, *payloads: dict[str, Any]) -> None:
        self._asset = asset
        self._events = [SimpleNamespace(extra={"from_trigger": True, "payload": payload}) for payload in payloads]

    def __getitem__(self, asset: Any) -> list[SimpleNamespace]:
        assert asset == self._asset
        return self._events


def shell(script: str, folder: Path, **environment: str) -> str:
    """Run a shell script up to its first error, with the commands of this environment.

    :return: what it printed.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=inherited | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, f"{result.stdout[-4000:]}\n{result.stderr[-4000:]}"
    return result.stdout
