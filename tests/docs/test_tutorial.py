"""The tutorial, followed to the letter, except for the port of the sandbox."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.capabilities import needs_airflow_sdk
from tests.support.history_recorder import violations_of_process
from tests.support.snippets import REPO, Page, shell

PAGE = Page("docs/tutorial.md")
PORT = "8377"


def test_installing(tmp_path: Path):
    # A whole installation is in integration/test_packaging.py.
    make, activate, install = PAGE.block("bash", "tutorial-env").splitlines()
    shell(f"{make}\n{activate}\npython -c 'import sys; assert sys.prefix != sys.base_prefix'", tmp_path)
    pip, *arguments = shlex.split(install)
    assert [pip, *arguments[:2]] == ["pip", "install", "--constraint"]
    project, airflow = arguments[3:]
    assert project.removeprefix(".[").removesuffix("]") in extras()
    pins = (REPO / arguments[2]).read_text().splitlines()
    (pinned,) = [pin.partition("==")[2] for pin in pins if pin.startswith("apache-airflow==")]
    assert Requirement(airflow).specifier.contains(pinned)


def extras() -> dict[str, list[str]]:
    return tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.mark.slow
@pytest.mark.airflow
@needs_airflow_sdk
def test_following_it(tmp_path: Path):
    command = PAGE.block("bash", "-m airflow_provider_leadconv.sandbox").replace("\\\n", "").split()
    sandbox = [sys.executable, *command[1:], "--port", "0"]
    with subprocess.Popen(sandbox, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = "".join(process.stdout.readline() for _ in range(3))
            port = printed.splitlines()[0].rpartition(":")[2]
            assert printed.replace(port, PORT) == PAGE.block("text", "Base URL")
            follow(tmp_path, port)
        finally:
            process.terminate()


def follow(folder: Path, port: str) -> None:
    connect = PAGE.block("bash", "airflow db migrate").replace(PORT, port)
    assert "Connection success!" in shell(connect, folder)
    environment = "".join(line for line in connect.splitlines(keepends=True) if line.startswith("export"))

    def run(script: str) -> str:
        return shell(environment + script.replace(PORT, port), folder)

    run(PAGE.block("bash", "mkdir"))
    (folder / "tutorial" / "dags" / "convert_leads.py").write_text(PAGE.block("python", "DAG("))
    test_dag = "exec 2>&1\n" + PAGE.block("bash", "airflow dags test")  # a terminal shows both, and 3.1 logs to both
    first = run(test_dag)
    assert "0 were already converted" in first
    assert "8 leads: 8 converted" in first
    rows = [json.loads(line) for line in run(PAGE.block("bash", "results/")).splitlines()]
    assert [row["status"] for row in rows] == ["converted"] * 8
    assert run(PAGE.block("bash", "curl")) == PAGE.block("text", "[1,")
    assert len((folder / "tutorial" / "conversions.csv").read_text().splitlines()) == 1 + 200 + 8
    assert "8 leads: 8 existing" in run(test_dag)
    assert violations_of_process(f"http://127.0.0.1:{port}", folder) == []
