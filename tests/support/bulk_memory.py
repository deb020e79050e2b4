"""A process of its own that converts a batch, to measure its memory.

Usage: python -m tests.support.bulk_memory FOLDER LEADS
Prints its peak of memory, resident, in kB.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of_file
from airflow_provider_leadconv.bulk.outputs.journal import LocalJournal
from airflow_provider_leadconv.bulk.outputs.results import Results
from airflow_provider_leadconv.bulk.run import BulkRun
from airflow_provider_leadconv.bulk.sending_marker import SendingMarker
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.bulk_runs import full_rate
from tests.support.endpoint import Endpoint
from tests.support.responses import page, response, single

NOTHING = response(200, page())


class ForgetfulEndpoint(Endpoint):
    """Converts every lead and keeps none, so that the memory is that of the bulk."""

    made = 0

    def __call__(self, request, token):
        if request.method == "GET":
            return NOTHING
        self.made += 1
        return response(200, single(self.made, json.loads(request.body)["data"]["lead_id"]))


def main(folder, count):
    (folder / "leads.jsonl").write_text("".join(f'{{"lead_id": {2**40 + number}}}\n' for number in range(count)))
    with (folder / "leads.jsonl").open("rb") as file:
        leads = read_leads(rows_of_file("leads.jsonl", file))
    config = ClientConfig(token="t", requests_per_second=1e9)
    client = LeadConversionsClient(config, transport=ForgetfulEndpoint(), limiter=full_rate(config))
    results = Results(LocalFolder(folder), "r.jsonl", LocalJournal(folder / "r.journal"), run="r", leads=leads)
    run = BulkRun(client, leads, results)
    run.run()
    assert run.summary.converted == count, run.summary
    status = Path("/proc/self/status").read_text()
    print(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))


class MemoryMarker(SendingMarker):
    """A marker that outlives its process."""

    def __init__(self) -> None:
        self.value = False

    def is_set(self) -> bool:
        return self.value

    def set(self) -> None:
        self.value = True

    def clear(self) -> None:
        self.value = False
