"""CPU per lead of a bulk conversion, against a loop of bare ``requests`` POSTs that checks nothing and repeats nothing.

The sandbox runs in a process of its own, so its CPU is not counted. ``python benchmarks/bulk_cpu.py [LEADS]``
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import requests

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.jobs.bulk_run import BulkRun
from airflow_provider_leadconv.jobs.journal import LocalJournal
from airflow_provider_leadconv.jobs.leads import read_leads
from airflow_provider_leadconv.jobs.results import Results
from airflow_provider_leadconv.jobs.storage import LocalFolder

ROUNDS = 3


def serve(pipe: Connection, leads: int) -> None:
    from airflow_provider_leadconv.sandbox import Sandbox

    with Sandbox(leads=leads, conversions=1000) as sandbox:
        pipe.send((sandbox.base_url, sandbox.token, sandbox.leads))
        pipe.recv()


def bare(base_url: str, token: str, leads: list[int]) -> None:
    session = requests.Session()
    for lead in leads:
        answer = session.post(
            f"{base_url}/v2/lead_conversions",
            json={"data": {"lead_id": lead}},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        answer.raise_for_status()
        answer.json()["data"]["id"]


def ours(base_url: str, token: str, leads: list[int]) -> None:
    batch = read_leads(leads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = Results(LocalFolder(folder), "r.jsonl", LocalJournal(folder / "r.journal"), run="r", leads=batch)
        with LeadConversionsClient(ClientConfig(token=token, base_url=base_url, requests_per_second=1e6)) as client:
            run = BulkRun(client, batch, results, concurrency=8)
            run.run()
    assert run.summary.converted == len(leads), run.summary


def main(count: int) -> None:
    spent = {bare: 0.0, ours: 0.0}
    pipe, far = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=serve, args=(far, 2 * ROUNDS * count))
    server.start()
    base_url, token, leads = pipe.recv()
    for number in range(ROUNDS):
        for offset, convert in enumerate((bare, ours)):
            start = (2 * number + offset) * count
            before = time.process_time()
            convert(base_url, token, leads[start : start + count])
            spent[convert] += time.process_time() - before
    pipe.send("stop")
    server.join()
    per_lead = {convert.__name__: round(1e3 * seconds / ROUNDS / count, 3) for convert, seconds in spent.items()}
    print(json.dumps({"ms_cpu_per_lead": per_lead, "ratio": round(spent[ours] / spent[bare], 2)}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
