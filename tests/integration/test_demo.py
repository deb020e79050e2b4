"""``make demo``: it shows what is true, and leaves nothing behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

REPO = Path(__file__).parents[2]

pytestmark = pytest.mark.airflow


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def demo(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, REPO / "scripts" / "demo.py", "--folder", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_demo_runs_and_says_what_is_true(tmp_path: Path):
    process = demo(tmp_path / "demo")
    output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert re.search(r"^Converted +80 of 80 leads", output, re.MULTILINE), output
    assert re.search(r"counts 80 conversions of 80 leads", output), output
    assert re.search(r"^Exported +1,080 conversions of the 1,080", output, re.MULTILINE), output
    assert len(lines(tmp_path / "demo" / "conversions.jsonl")) == 1080


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_demo_leaves_nothing_behind(tmp_path: Path, number: signal.Signals):
    process = demo(tmp_path / "demo")
    started: list[psutil.Process] = []
    deadline = time.monotonic() + 60
    while not started:
        assert process.poll() is None
        assert time.monotonic() < deadline
        started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "Stopped.\n")
    assert [child for child in started if child.is_running()] == []


def test_a_failing_demo_shows_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "sqlalchemy.py").write_text("raise ImportError('broken on purpose')\n")
    process = demo(tmp_path / "demo")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "broken on purpose" in errors
    assert str(tmp_path / "demo" / "airflow.log") in errors
    assert "Converted" not in output


def test_the_demo_removes_nothing_but_its_own(tmp_path: Path):
    (tmp_path / "letter.txt").write_text("keep me")
    process = demo(tmp_path)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "holds something else" in errors
    assert (tmp_path / "letter.txt").exists()
