from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.airflow_harness import run_dag
from tests.support.snippets import Page

PAGE = Page("docs/last-export.md")


@pytest.mark.expected_violation("^sell ", reason="the test damages the export, which the proof must notice")
def test_the_export_and_its_proof(sandbox: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    runs = run_dag(PAGE.dag(PAGE.block("python", "verify_complete"), tmp_path))
    assert runs["export"].value["rows"] == 30, runs
    prove = PAGE.block("python", "hashlib")
    names = PAGE.run(prove, tmp_path)
    assert names["manifest"]["verification"]["listed"] == 30
    (part,) = names["manifest"]["parts"]
    path = tmp_path / "sell" / part["name"]
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in sandbox.conversions]
    path.write_bytes(gzip.compress(b"{}\n"))
    with pytest.raises(AssertionError):
        PAGE.run(prove, tmp_path)
