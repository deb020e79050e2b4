"""The operator's process killed with SIGKILL at random moments, and run again until done, at a server that accepts
second conversions: no lead is converted twice, none is missing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from math import ceil
from pathlib import Path
from random import Random

import pytest

from airflow_provider_leadconv.sandbox import Fault, Sandbox

from .bulk_account import lines_of

PROGRAM = Path(__file__).parent / "bulk_process.py"
TIMEOUT, SETTLE = 1.0, 0.5
CONCURRENCY = 6
# Of requests that the killed process had sent, some are still to come true.
FAULTS = (
    Fault(name="late_commit", share=0.05, seconds=1.2),
    Fault(name="drop_after", share=0.05),
    Fault(name="late_visible", share=0.1, seconds=0.4),
)


class Account:
    """A sandbox and a batch, and processes that convert it."""

    def __init__(self, sandbox, path, leads, requests_per_second):
        self.sandbox = sandbox
        self.leads = leads
        self.path = path
        self.answer = path.with_name("answer")
        extra = {"timeout": TIMEOUT, "settle_time": SETTLE, "requests_per_second": requests_per_second}
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "AIRFLOW_CONN_LEADCONV_DEFAULT": json.dumps({**sandbox.connection, "extra": extra}),
        }
        self.nursery = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        while self.nursery.stdout.readline().strip() != "ready":
            assert self.nursery.poll() is None

    def start(self, run, try_number, path, **options):
        """:return: the id of the process."""
        options |= {
            "answer": str(self.answer),
            "run": run,
            "try_number": try_number,
            "leads": self.leads,
            "concurrency": CONCURRENCY,
            "results_path": str(path),
            "max_failures": None,
        }
        self.nursery.stdin.write(json.dumps(options) + "\n")
        self.nursery.stdin.flush()
        return int(self.read_number())

    def kill_after_posts(self, process, number):
        """Kill a process when so many more leads were sent."""
        begun, deadline = len(self.posts), time.monotonic() + 60
        while len(self.posts) < begun + number:
            assert time.monotonic() < deadline, self.answer.read_text()
            time.sleep(0.002)
        os.kill(process, signal.SIGKILL)
        assert int(self.read_number()) == signal.SIGKILL

    def finish(self):
        assert int(self.read_number()) == 0
        return json.loads(self.answer.read_text())

    def read_number(self):
        """The next line that is one; Airflow logs to stdout, too."""
        while not (line := self.nursery.stdout.readline().strip()).isdecimal():
            assert self.nursery.poll() is None
        return line

    def close(self):
        self.nursery.stdin.close()
        self.nursery.wait(30)

    @property
    def posts(self):
        return [request for request in self.sandbox.requests if request.method == "POST"]

    def requests_before_posting(self, since):
        methods = [request.method for request in self.sandbox.requests[since:]]
        return methods.index("POST") if "POST" in methods else len(methods)

    def check(self):
        counts = self.sandbox.conversion_counts
        assert {lead: counts.get(lead, 0) for lead in self.leads} == dict.fromkeys(self.leads, 1)


@pytest.fixture
def account(tmp_path):
    with Sandbox(leads=240, conversions=450, second_conversion="new", latency=0.02, faults=FAULTS) as sandbox:
        account = Account(sandbox, tmp_path / "results.jsonl", sandbox.leads, 200)
        yield account
        account.close()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11))])
def test_killed_and_run_again_as_a_retry(account, seed):
    rng = Random(seed)
    kills = 2
    for try_number in range(1, kills + 1):
        known = {line["lead_id"] for line in journal_lines(account.path)}
        before, converted = len(account.sandbox.requests), len(account.sandbox.conversions)
        process = account.start("run", try_number, account.path)
        account.kill_after_posts(process, rng.randint(1, 80))
        assert not account.path.exists()
        lines = journal_lines(account.path)
        assert known <= {line["lead_id"] for line in lines}
        true = {row["lead_id"]: row["id"] for row in account.sandbox.conversions}
        assert all(true[line["lead_id"]] == line["conversion_id"] for line in lines if line["outcome"] == "converted")
        if try_number > 1:
            new = converted - 450
            assert account.requests_before_posting(before) <= ceil(new / 200) + 3 * CONCURRENCY
    account.start("run", kills + 1, account.path)
    summary = account.finish()
    account.check()
    lines = lines_of(account.path)
    assert [line["lead_id"] for line in lines] == account.leads
    assert {line["outcome"] for line in lines} == {"converted"}
    assert (summary["leads"], summary["converted"], summary["duplicate"]) == (240, 240, 0)
    assert set(account.path.parent.iterdir()) == {account.path, account.answer}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11))])
def test_killed_and_run_again_as_a_new_run(account, seed, tmp_path):
    rng = Random(1000 + seed)
    for number in range(2):
        process = account.start(f"run {number}", 1, tmp_path / f"results-{number}.jsonl")
        account.kill_after_posts(process, rng.randint(1, 80))
        time.sleep(TIMEOUT + SETTLE)
    account.start("last run", 1, account.path)
    summary = account.finish()
    account.check()
    assert summary["converted"] + summary["existing"] == 240
    assert summary["existing"] > 0
    assert {line["outcome"] for line in lines_of(account.path)} == {"converted", "existing"}


def journal_lines(path):
    """Of the whole lines those about leads; what a person would read."""
    journal = path.with_name(f"{path.name}.journal")
    if not journal.exists():
        return []
    lines = [json.loads(line) for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [line for line in lines if "lead_id" in line]
