"""Large batches: memory and, with four processes, a shared limit."""

from __future__ import annotations

import json
import subprocess
import sys
from threading import Thread

import pytest

from airflow_provider_leadconv.sandbox import Sandbox

from .test_bulk_kill import Account

MEASURE = """
import json, sys
from pathlib import Path

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.messages import Answer
from airflow_provider_leadconv.jobs.bulk_run import BulkRun
from airflow_provider_leadconv.jobs.journal import LocalJournal
from airflow_provider_leadconv.jobs.lead_files import rows_of_file
from airflow_provider_leadconv.jobs.leads import read_leads
from airflow_provider_leadconv.jobs.results import Results
from airflow_provider_leadconv.jobs.storage import LocalFolder

folder, count = Path(sys.argv[1]), int(sys.argv[2])
empty = Answer(status=200, headers={}, body=b'{"items": [], "meta": {"count": 0}}')

class Transport:
    made = 0
    def close(self): pass
    def __call__(self, request, token):
        if request.method == "GET":
            return empty
        Transport.made += 1
        lead = json.loads(request.body)["data"]["lead_id"]
        body = {"data": {"id": Transport.made, "lead_id": lead, "created_at": "2026-11-23T00:00:00Z"}}
        return Answer(status=200, headers={}, body=json.dumps(body).encode())

(folder / "leads.jsonl").write_text("".join(f'{{"lead_id": {2**40 + number}}}\\n' for number in range(count)))
with (folder / "leads.jsonl").open("rb") as file:
    leads = read_leads(rows_of_file("leads.jsonl", file))
client = LeadConversionsClient(ClientConfig(token="t", requests_per_second=1e9), transport=Transport())
client._exchange._pacer._rate = 1e9
results = Results(LocalFolder(folder), "r.jsonl", LocalJournal(folder / "r.journal"), run="r", leads=leads)
run = BulkRun(client, leads, results)
run.run()
assert run.summary.converted == count, run.summary
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.slow
def test_memory_of_a_hundred_thousand_leads(tmp_path):
    peaks = []
    for count in (1_000, 100_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        program = [sys.executable, "-c", MEASURE, str(folder), str(count)]
        peaks.append(int(subprocess.run(program, check=True, capture_output=True, text=True).stdout.split()[-1]) * 1024)
        assert sum(1 for _ in (folder / "r.jsonl").open()) == count
    growth = peaks[1] - peaks[0]
    print(f"peak memory: {peaks[0] / 1e6:.0f} MB for 1,000 leads, {growth / 1e6:.0f} MB more for 100,000")
    assert growth < 100e6


@pytest.mark.slow
def test_four_processes_share_a_limit(tmp_path):
    with Sandbox(leads=800, conversions=50, rate=10, latency=0.3, second_conversion="new") as sandbox:
        leads = sandbox.leads
        accounts = [Account(sandbox, tmp_path / f"{number}.jsonl", leads[number::4], 10) for number in range(4)]
        for number, account in enumerate(accounts):
            account.answer = tmp_path / f"answer-{number}"
            account.start(f"run {number}", 1, account.path, full_rate=False)
        summaries = []
        threads = [Thread(target=lambda one=account: summaries.append(one.finish())) for account in accounts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
        for account in accounts:
            account.close()
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
