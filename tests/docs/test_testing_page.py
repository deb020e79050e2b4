from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.sandbox.faults import FAULTS
from airflow_provider_leadconv.sandbox.settings import SandboxSettings
from tests.support.snippets import Page, shell

PAGE = Page("docs/testing.md")


def test_the_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "test_my_dags.py").write_text(PAGE.block("python", "def test_"))
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert "2 passed" in run.stdout, run.stdout


def test_the_sandbox_in_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", "")
    PAGE.run(PAGE.block("python", "with Sandbox("), tmp_path)


def test_its_members_are_there():
    members = [name for row in PAGE.table("member") for name in re.findall(r"`(\w+)", row[0])]
    with Sandbox() as sandbox:
        assert len(members) == 18
        assert all(hasattr(sandbox, name) for name in members)


def test_the_program_and_its_controls(tmp_path: Path):
    command = PAGE.block("bash", "-m airflow_provider_leadconv.sandbox").replace("\\\n", "").split()
    command[0], command[command.index("--port") + 1] = sys.executable, "0"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip().rpartition(":")[2]
            script = PAGE.block("bash", "_sandbox").replace("\\\n", "").replace("8377", port)
            responses = shell(re.sub(r"$", "; echo", script.rstrip(), flags=re.MULTILINE), tmp_path)
            leads, requests, faults, settings, conversions, history = responses.splitlines()
        finally:
            process.terminate()
    assert requests == "[]"
    assert (tmp_path / "leads.csv").read_text().split() == ["lead_id", *map(str, json.loads(leads))]
    assert faults == '[{"name":"error_503","times":3},{"name":"late_visible","seconds":5.0}]'
    assert '"rate":2.0' in settings
    assert '"throttle_shape":"throttle_404"' in settings
    assert conversions.startswith("{")
    assert '"made_at"' in history


def test_table_of_settings_has_a_row_for_each_setting():
    defaults, descriptions = SandboxSettings(), SandboxSettings.descriptions()
    assert [(name, text) for name, _, text in PAGE.table("setting")] == [
        (f"`{n}`", descriptions[n]) for n in descriptions
    ]
    for name, default, _ in PAGE.table("setting"):
        value = getattr(defaults, name.strip("`"))
        assert default == ("" if value is None else f"`{value}`")


def test_table_of_faults_has_a_row_for_each_declared_fault():
    assert PAGE.table("fault") == [[f"`{name}`", kind.summary] for name, kind in FAULTS.items()]
