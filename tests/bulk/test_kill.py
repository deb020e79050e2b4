"""The operator's process killed with SIGKILL at random moments, and run again until done, at a server that accepts
second conversions: no lead is converted twice, none is missing.
"""

from __future__ import annotations

import json
import time
from math import ceil
from random import Random

import pytest

from airflow_provider_leadconv.sandbox import Fault, Sandbox
from tests.support.bulk_processes import CONCURRENCY, BulkProcesses
from tests.support.bulk_runs import QUICK, lines_of

# Some requests of the killed process are committed, or become visible, only after its death.
FAULTS = (
    Fault(name="late_commit", share=0.05, seconds=1.2),
    Fault(name="drop_after", share=0.05),
    Fault(name="late_visible", share=0.1, seconds=0.4),
)


@pytest.fixture
def batch(tmp_path):
    with Sandbox(leads=240, conversions=450, second_conversion="new", latency=0.02, faults=FAULTS) as sandbox:
        batch = BulkProcesses(sandbox, tmp_path / "results.jsonl", sandbox.leads, 200)
        yield batch
        batch.close()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11))])
def test_killed_and_run_again_as_a_retry(batch, seed):
    rng = Random(seed)
    kills = 2
    for try_number in range(1, kills + 1):
        known = {line["lead_id"] for line in journal_lines(batch.path)}
        before, converted = len(batch.sandbox.requests), len(batch.sandbox.conversions)
        process = batch.start("run", try_number, batch.path)
        batch.kill_after_posts(process, rng.randint(1, 80))
        assert not batch.path.exists()
        lines = journal_lines(batch.path)
        assert known <= {line["lead_id"] for line in lines}
        true = {row["lead_id"]: row["id"] for row in batch.sandbox.conversions}
        assert all(true[line["lead_id"]] == line["conversion_id"] for line in lines if line["status"] == "converted")
        if try_number > 1:
            new = converted - 450
            assert batch.requests_before_posting(before) <= ceil(new / 200) + 3 * CONCURRENCY
    batch.start("run", kills + 1, batch.path)
    summary = batch.finish()
    batch.check()
    lines = lines_of(batch.path)
    assert [line["lead_id"] for line in lines] == batch.leads
    assert {line["status"] for line in lines} == {"converted"}
    assert (summary["leads"], summary["converted"], summary["duplicates"]) == (240, 240, 0)
    assert set(batch.path.parent.iterdir()) == {batch.path, batch.response}


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 11))])
def test_killed_and_run_again_as_a_new_run(batch, seed, tmp_path):
    rng = Random(1000 + seed)
    for number in range(2):
        process = batch.start(f"run {number}", 1, tmp_path / f"results-{number}.jsonl")
        batch.kill_after_posts(process, rng.randint(1, 80))
        time.sleep(QUICK["timeout"] + QUICK["settle_time"])
    batch.start("last run", 1, batch.path)
    summary = batch.finish()
    batch.check()
    assert summary["converted"] + summary["existing"] == 240
    assert summary["existing"] > 0
    assert {line["status"] for line in lines_of(batch.path)} == {"converted", "existing"}


def journal_lines(path):
    """Of the whole lines those about leads; what a person would read."""
    journal = path.with_name(f"{path.name}.journal")
    if not journal.exists():
        return []
    lines = [json.loads(line) for line in journal.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    return [line for line in lines if "lead_id" in line]
