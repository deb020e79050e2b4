"""Large batches: memory and, with four processes, a shared limit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.bulk_processes import BulkProcesses

REPO = Path(__file__).parents[2]


@pytest.mark.slow
def test_memory_of_a_hundred_thousand_leads(tmp_path):
    peaks = []
    for count in (1_000, 100_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        program = [sys.executable, "-m", "tests.support.bulk_memory", str(folder), str(count)]
        peaks.append(
            int(subprocess.run(program, cwd=REPO, check=True, capture_output=True, text=True).stdout.split()[-1]) * 1024
        )
        assert sum(1 for _ in (folder / "r.jsonl").open()) == count
    growth = peaks[1] - peaks[0]
    print(f"peak memory: {peaks[0] / 1e6:.0f} MB for 1,000 leads, {growth / 1e6:.0f} MB more for 100,000")
    assert growth < 100e6


@pytest.mark.slow
def test_four_processes_share_a_limit(tmp_path):
    with Sandbox(leads=800, conversions=50, rate=10, latency=0.3, second_conversion="new") as sandbox:
        leads = sandbox.leads
        batches = [BulkProcesses(sandbox, tmp_path / f"{number}.jsonl", leads[number::4], 10) for number in range(4)]
        for number, batch in enumerate(batches):
            batch.response = tmp_path / f"response-{number}"
            batch.start(f"run {number}", 1, batch.path, starts_at_full_rate=False)
        summaries = []
        threads = [Thread(target=lambda one=batch: summaries.append(one.finish())) for batch in batches]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        for batch in batches:
            batch.close()
        assert [summary["converted"] for summary in summaries] == [200] * 4
        posts = [request for request in sandbox.requests if request.method == "POST"]
        served = [request.time for request in posts if request.status == 200]
        rejected = sum(request.status == 429 for request in posts) / len(posts)
        middle = served[len(served) // 10 : -len(served) // 10]
        rate = (len(middle) - 1) / (middle[-1] - middle[0])
        print(json.dumps({"rate": rate, "rejected": rejected}))
        assert rate >= 8.5
        assert rejected <= 0.12
        assert sandbox.conversion_counts[leads[0]] == max(sandbox.conversion_counts[lead] for lead in leads) == 1
