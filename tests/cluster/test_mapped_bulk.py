"""A bulk in mapped chunks on two Celery workers that share one token; one of them is killed half-way."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.cluster_rate import TOO_MANY_REQUESTS, usage_while_posting
from tests.support.postgres import running_postgres

pytest.importorskip("airflow.providers.celery", reason="run by `make test-cluster`")

from tests.support.celery_cluster import Cluster, running_redis
from tests.support.standalone import EXAMPLE_DAGS

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.airflow]

DAG = "leadconv_bulk_mapped"
CHUNKS = 8
CHUNK_SIZE = 500  # much smaller ones show how long Airflow takes to start tasks, see docs/guides/scaling.md
EARLIER_CONVERSIONS = 2000
RATE = 10
FAULTS = ("drop_after,share=0.03,method=POST", "late_commit,share=0.02,seconds=3")
EXTRA = {"timeout": 5, "settle_time": 1}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One token at 10 requests/s. Of the conversions, 3 % of the responses are lost, and 2 % come late."""
    with Sandbox(leads=CHUNKS * CHUNK_SIZE, conversions=EARLIER_CONVERSIONS, rate=RATE, faults=FAULTS) as sandbox:
        yield sandbox


@pytest.fixture
def cluster(tmp_path: Path, sandbox: Sandbox) -> Iterator[Cluster]:
    dags = tmp_path / "dags"
    dags.mkdir()
    shutil.copy(EXAMPLE_DAGS / f"{DAG}.py", dags)  # no other, as they would share the token
    connection = {**sandbox.connection, "extra": EXTRA}
    with running_postgres() as postgres_port, running_redis(tmp_path) as redis_port:
        with Cluster(tmp_path / "airflow", connection, dags, postgres_port, redis_port) as cluster:
            yield cluster
        assert cluster.processes() == []


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def started(cluster: Cluster, worker: str, attempt: int) -> set[int]:
    """The chunks that were started on a worker."""
    logs = cluster.logs_of(worker).rglob(f"task_id=convert/map_index=*/attempt={attempt}.log")
    return {int(log.parent.name.removeprefix("map_index=")) for log in logs}


def under_way(files: Path) -> set[int]:
    """The chunks of which something is converted, and not all."""
    return {int(journal.name.partition(".")[0]) for journal in files.glob("results/*/*.journal") if lines(journal)[1:]}


def test_each_lead_is_converted_once_though_a_worker_is_killed(
    tmp_path: Path, sandbox: Sandbox, cluster: Cluster, capsys: pytest.CaptureFixture[str]
):
    leads, files = sandbox.leads, tmp_path / "files"
    (tmp_path / "leads.csv").write_text("lead_id\n" + "".join(f"{lead}\n" for lead in leads))
    conf = {"leads_path": str(tmp_path / "leads.csv"), "folder": str(files), "chunk_size": CHUNK_SIZE}

    def half_way() -> bool:
        converted = len(sandbox.conversions) - EARLIER_CONVERSIONS
        return converted >= len(leads) / 2 and bool(started(cluster, "one", 1) & under_way(files))

    run = cluster.start_run(DAG, conf)
    cluster.wait_for(half_way, timeout=450)
    killed = started(cluster, "one", 1) & under_way(files)
    killed_at = time.monotonic()
    cluster.kill_worker("one")
    cluster.start_worker("one")
    states = cluster.finish_run(run, timeout=450)

    assert states == dict.fromkeys(("dag_run", "split", "convert", "total"), "success")
    retried = started(cluster, "one", 2) | started(cluster, "two", 2)
    assert killed <= retried <= started(cluster, "one", 1)  # one may have been about to start
    assert {lead: sandbox.conversion_counts.get(lead) for lead in leads} == dict.fromkeys(leads, 1)
    results = [row for path in files.glob("results/*/*.jsonl") for row in lines(path)]
    assert Counter(row["lead_id"] for row in results) == dict.fromkeys(leads, 1)
    assert {row["status"] for row in results} == {"converted"}

    chunks = sorted(files.glob("chunks/*/*.jsonl"))
    assert len(chunks) == CHUNKS
    chunk_of = {row["lead_id"]: number for number, path in enumerate(chunks) for row in lines(path)}
    requests = sandbox.requests
    usage = usage_while_posting(requests, chunk_of, killed_at, retried)
    rejected = sum(request.status == TOO_MANY_REQUESTS for request in requests) / len(requests)
    report = (
        f"{len(leads)} leads in {len(chunks)} chunks, {len(retried)} of them killed: {len(requests)} requests, "
        f"{rejected:.1%} rejected; while posting, {usage.seconds:.0f} s, {usage.rate:.2f} requests/s were served, "
        f"{usage.converted / usage.seconds:.2f} of them conversions; load of this machine: "
        f"{os.getloadavg()[1]:.1f} on {os.cpu_count()} cores"
    )
    with capsys.disabled():
        print(f"\n{report}")
    assert rejected <= 0.01, report
    assert usage.rate >= 0.95 * RATE, report
