"""Every example DAG under one real scheduler and triggerer, against the sandbox, and the events in OpenLineage."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import psycopg2
import pytest
from pyarrow import parquet

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.capabilities import (
    AIRFLOW,
    NEEDED_BY_EXAMPLES,
    needs_approval,
    needs_asset_watchers,
    needs_batching,
    needs_running_airflow,
)
from tests.support.exports import ids, manifest
from tests.support.history_recorder import RECORDER
from tests.support.standalone import EXAMPLE_DAGS, Standalone
from tests.support.webhook import Webhook

pytestmark = [pytest.mark.airflow, needs_running_airflow.mark]

ACCOUNT = {"namespace": "leadconv://leadconv_default", "name": "lead_conversions"}
COLUMNS = ["id", "lead_id", "individual_id", "organization_id", "deal_id", "creator_id", "created_at"]


@dataclass(frozen=True)
class Office:
    """The one Airflow of this module, and all that its tasks talk to.

    :param folder: where the DAGs write.
    :param lineage: a folder with a file for each event of OpenLineage.
    """

    airflow: Standalone
    sandbox: Sandbox
    webhook: Webhook
    postgres: dict[str, Any]
    folder: Path
    lineage: Path

    @property
    def ids(self) -> list[int]:
        """Of all conversions, oldest first."""
        return sorted(conversion["id"] for conversion in self.sandbox.conversions)

    def start(self, dag_id: str, conf: dict[str, Any] | None = None, **body: Any) -> str:
        """:return: the path of a run of a DAG that is not paused any more."""
        self.airflow.unpause(dag_id)
        return self.airflow.start_run(dag_id, conf or {}, **body)

    def scheduled(self, dag_id: str) -> str:
        """:return: the path of the run that the scheduler makes at once, for the latest interval."""
        self.airflow.unpause(dag_id)
        self.airflow.wait_for(lambda: self.airflow.runs(dag_id) != [])
        (run,) = self.airflow.runs(dag_id)
        return run

    def finish(self, run: str, **others: str) -> None:
        """Wait for the end of a run, which succeeds with all its tasks, but for the states named."""
        states = self.airflow.finish_run(run)
        assert len(states) > 1, "no task was run"
        wanted = {**dict.fromkeys(states, "success"), **others}
        assert states == wanted, self.airflow.console.read_text(errors="replace")[-4000:]

    def wait_for_pause(self, run: str, task_id: str) -> None:
        """Until a task waits without a worker, and the scheduler knows it: a response before that fails the task."""
        states, run_id = {"deferred", "awaiting_input"}, unquote(run.rpartition("/")[2])
        self.airflow.wait_for(lambda: self.airflow.task_states(run).get(task_id) in states)
        left = re.compile(rf"Received executor event .*task_id='{task_id}', run_id='{re.escape(run_id)}'")
        self.airflow.wait_for(lambda: left.search(self.airflow.console.read_text(errors="replace")) is not None)

    def completed(self, job: str) -> dict[str, Any]:
        """:return: OpenLineage's event of the end of a task that succeeded."""
        found: list[dict[str, Any]] = []

        def reported() -> bool:
            events = [json.loads(path.read_text() or "{}") for path in self.lineage.iterdir()]
            found[:] = [e for e in events if e.get("eventType") == "COMPLETE" and e["job"]["name"] == job]
            return bool(found)

        self.airflow.wait_for(reported)
        return found[0]


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, postgres_port: int) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("examples")
    dags, files, lineage = (folder / name for name in ("dags", "files", "lineage"))
    for made in (dags, files, lineage):
        made.mkdir()
    for example in EXAMPLE_DAGS.glob("*.py"):
        # The DAG processor of Airflow 3.0 ends at an import that is made for later versions.
        if example.stem in NEEDED_BY_EXAMPLES and not NEEDED_BY_EXAMPLES[example.stem].is_there:
            continue
        code = example.read_text().replace("/data/sell", str(files)).replace("poll_interval=30", "poll_interval=2")
        code = code.replace("timeout=30)", "timeout=300)")  # a busy machine, and a webhook that a test holds up
        (dags / example.name).write_text(code)
    postgres = {"host": "127.0.0.1", "port": postgres_port}
    with Webhook() as webhook, Sandbox(leads=60, conversions=250, rate=10) as sandbox:
        settings = {
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": f"{lineage}/event"}),
            "AIRFLOW__OPENLINEAGE__EXECUTION_TIMEOUT": "120",
            "AIRFLOW_CONN_POSTGRES_DEFAULT": json.dumps(
                {**postgres, "conn_type": "postgres", "login": "tester", "schema": "postgres"}
            ),
            "AIRFLOW_VAR_DEALS_WEBHOOK": webhook.url,
            "AIRFLOW_VAR_DIGEST_WEBHOOK": webhook.digest_url,
            "PYTHONWARNINGS": "default",
        }
        with Standalone(folder / "airflow", sandbox.connection, dags, settings) as airflow:
            RECORDER.folders.add(files)
            yield Office(airflow, sandbox, webhook, postgres, files, lineage)
        assert airflow.processes() == []
        written = [path for path in folder.rglob("*") if path.is_file()]
        assert len(written) > 20
        assert [path for path in written if sandbox.token.encode() in path.read_bytes()] == []


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_quickstart(office: Office):
    leads, folder = office.sandbox.leads[:20], office.folder / "quickstart"
    office.finish(office.start("leadconv_quickstart", {"leads": leads, "folder": str(folder)}))
    assert [office.sandbox.conversion_counts.get(lead) for lead in leads] == [1] * len(leads)
    (results,) = (folder / "results").iterdir()
    assert [(row["lead_id"], row["status"]) for row in lines(results)] == [(lead, "converted") for lead in leads]
    exported = [row["id"] for row in lines(folder / "conversions.jsonl")]
    assert sorted(exported) == office.ids

    converted = office.completed("leadconv_quickstart.convert")
    assert converted["inputs"] == []
    assert [(output["namespace"], output["name"]) for output in converted["outputs"]] == [
        (ACCOUNT["namespace"], ACCOUNT["name"]),
        ("file", str(results)),
    ]
    assert [rows_written(output) for output in converted["outputs"]] == [20, 20]
    export = office.completed("leadconv_quickstart.export")
    (read,), (wrote,) = export["inputs"], export["outputs"]
    assert read.items() >= ACCOUNT.items()
    assert (wrote["namespace"], wrote["name"]) == ("file", str(folder / "conversions.jsonl"))
    assert rows_written(wrote) == len(exported)
    assert columns(read) == columns(wrote) == COLUMNS


def rows_written(output: dict[str, Any]) -> int:
    return output["outputFacets"]["outputStatistics"]["rowCount"]


def columns(dataset: dict[str, Any]) -> list[str]:
    return [field["name"] for field in dataset["facets"]["schema"]["fields"]]


@needs_approval
@pytest.mark.parametrize(("response", "converted"), [("Reject", 0), ("Approve", 3)])
def test_bulk_approval(office: Office, tmp_path: Path, response: str, converted: int):
    leads, times = office.sandbox.leads[:3], office.sandbox.conversion_counts
    (tmp_path / "leads.csv").write_text("lead_id\n" + "\n".join(map(str, leads)))
    conf = {"leads_path": str(tmp_path / "leads.csv"), "folder": str(tmp_path)}
    run = office.start("leadconv_bulk_approval", conf)
    office.wait_for_pause(run, "approve")
    asked = office.airflow.get(f"{run}/taskInstances/approve/-1/hitlDetails")
    assert (asked["subject"], asked["options"]) == ("Convert 3 leads?", ["Approve", "Reject"])
    assert office.sandbox.conversion_counts == times
    office.airflow.choose(run, "approve", response)
    office.finish(run, **({} if converted else {"convert": "skipped"}))
    assert sum(office.sandbox.conversion_counts.get(lead, 0) for lead in leads) == converted
    assert all(office.sandbox.conversion_counts.get(lead, 0) <= 1 for lead in leads)


def test_bulk_mapped(office: Office, tmp_path: Path):
    """A file with every lead twice; the two are far apart."""
    leads = office.sandbox.leads[:10]
    (tmp_path / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads), *map(str, leads)]))
    conf = {"leads_path": str(tmp_path / "leads.csv"), "folder": str(tmp_path), "chunk_size": 3}
    run = office.start("leadconv_bulk_mapped", conf)
    office.finish(run)
    results = [lines(tmp_path / "results" / unquote(run.rpartition("/")[2]) / f"{chunk}.jsonl") for chunk in range(4)]
    assert [[row["lead_id"] for row in rows] for rows in results] == [leads[:3], leads[3:6], leads[6:9], leads[9:]]
    assert [office.sandbox.conversion_counts.get(lead) for lead in leads] == [1] * len(leads)
    reported = office.airflow.returned(run, "total")
    assert (reported["chunks"], reported["leads"], reported["converted"]) == (4, 10, 10)


def test_export_daily_incremental(office: Office):
    office.finish(office.scheduled("leadconv_export_daily_incremental"))
    folder = office.folder / "conversions"
    assert sorted(ids(folder)) == office.ids
    new = [office.sandbox.add_conversion()["id"] for _ in range(3)]
    run = office.start("leadconv_export_daily_incremental")
    office.finish(run)
    assert office.airflow.returned(run, "export")["rows"] == len(new)
    assert sorted(ids(folder)) == office.ids


def test_export_daily_interval(office: Office):
    """The day before, as scheduled, and a day with conversions in it."""
    run = office.scheduled("leadconv_export_daily_interval")
    office.finish(run)
    created = {row["id"]: datetime.fromisoformat(row["created_at"]) for row in office.sandbox.conversions}
    a_day = min(created.values()).replace(hour=0, minute=0, second=0)
    chosen = office.start(
        "leadconv_export_daily_interval",
        logical_date=datetime.now(UTC).isoformat(),  # not before the DAG's start_date
        data_interval_start=a_day.isoformat(),
        data_interval_end=(a_day + timedelta(days=1)).isoformat(),
    )
    office.finish(chosen)
    for path in (run, chosen):
        interval = office.airflow.get(path)
        start, end = (datetime.fromisoformat(interval[f"data_interval_{side}"]) for side in ("start", "end"))
        assert end - start == timedelta(days=1)
        exported = parquet.read_table(office.folder / "days" / f"{start:%Y-%m-%d}.parquet")["id"].to_pylist()
        assert sorted(exported) == sorted(id_ for id_, moment in created.items() if start <= moment < end)
    assert exported


def test_export_final(office: Office):
    office.finish(office.start("leadconv_export_final", {"folder": str(office.folder / "final")}))
    for name in ("conversions-jsonl", "conversions-parquet"):
        folder = office.folder / "final" / name
        assert sorted(ids(folder)) == office.ids
        assert manifest(folder)["verification"]["listed"] == len(office.ids)


def test_export_to_postgres(office: Office):
    office.finish(office.scheduled("leadconv_export_to_postgres"))
    with closing(psycopg2.connect(**office.postgres, user="tester", dbname="postgres")) as database:
        cursor = database.cursor()
        cursor.execute("SELECT id FROM lead_conversions ORDER BY id")
        assert [id_ for (id_,) in cursor.fetchall()] == office.ids

    event = office.completed("leadconv_export_to_postgres.export")
    (read,), (wrote,) = event["inputs"], event["outputs"]
    assert read.items() >= ACCOUNT.items()
    assert wrote["namespace"] == "postgres://127.0.0.1:{port}".format_map(office.postgres)
    assert wrote["name"] == "postgres.public.lead_conversions"
    assert rows_written(wrote) == len(office.ids)
    assert columns(wrote) == COLUMNS


def test_wait(office: Office):
    leads = office.sandbox.leads[-3:]
    run = office.start("leadconv_wait", {"leads": leads})
    office.wait_for_pause(run, "wait")
    made = [office.sandbox.add_conversion(lead) for lead in leads]
    office.finish(run)
    assert office.airflow.returned(run, "show") == [conversion["deal_id"] for conversion in made]


@needs_asset_watchers
def test_on_conversions(office: Office):
    made: list[dict[str, Any]] = []
    posted = office.webhook.posted

    def is_watched() -> bool:
        made.append(office.sandbox.add_conversion())
        return posted != []

    office.airflow.unpause("leadconv_on_conversions")
    office.airflow.wait_for(is_watched)  # what was made before the first poll is not new
    watched = [deal for deal in made if deal["id"] >= posted[0]["id"]]
    office.airflow.wait_for(lambda: all(deal in posted for deal in watched))
    assert len({deal["id"] for deal in posted}) == len(posted)
    runs = office.airflow.runs("leadconv_on_conversions")
    for run in runs:
        office.finish(run)
    if AIRFLOW >= (3, 4):
        assert {events_of(office, run) for run in runs} == {1}


def stored_events(office: Office) -> int:
    """How many events are in Airflow's database."""
    with closing(sqlite3.connect(office.airflow.home / "airflow.db", timeout=30)) as database:
        (number,) = database.execute("SELECT count(*) FROM asset_event").fetchone()
    return int(number)


def events_of(office: Office, run: str) -> int:
    """How many events started a run."""
    return len(office.airflow.get(f"{run}/upstreamAssetEvents")["asset_events"])


@needs_batching
def test_conversions_digest(office: Office):
    """What is converted during a run, at several polls, is for one run after it."""
    dag_id, digests = "leadconv_conversions_digest", office.webhook.digests
    office.webhook.is_open.clear()
    office.airflow.unpause(dag_id)
    office.airflow.wait_for(lambda: bool(office.sandbox.add_conversion()) and digests != [])
    (first,) = office.airflow.runs(dag_id)
    known = stored_events(office)
    office.airflow.wait_for(lambda: bool(office.sandbox.add_conversion()) and stored_events(office) > known + 1)
    office.webhook.is_open.set()
    office.airflow.wait_for(lambda: len(digests) > 1)
    office.finish(first)
    second = next(run for run in office.airflow.runs(dag_id) if run != first)
    office.finish(second)
    assert events_of(office, second) > 1
    posted = [deal["id"] for deals in digests for deal in deals]
    assert len(posted) == len(set(posted))


def test_every_example_is_run():
    tested = re.findall(r"^def test_(\w+)\(office", Path(__file__).read_text(), re.MULTILINE)
    assert {f"leadconv_{name}" for name in tested} >= {path.stem for path in EXAMPLE_DAGS.glob("*.py")}


DEPRECATION = re.compile(r"(Deprecation|Future|RemovedInAirflow\d)Warning\b")
OF_US = re.compile(r"/airflow_provider_leadconv/|/dags/leadconv_|RemovedInAirflow|AirflowProviderDeprecation")


def test_no_process_warns_of_what_we_use(office: Office):
    """pytest's filters do not reach the scheduler, the workers, the triggerer and the DAG processor."""
    logs = [office.airflow.console, *(office.airflow.home / "logs").rglob("*.log")]
    said = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    assert len(logs) > 10
    assert [line for line in said if DEPRECATION.search(line) and OF_US.search(line)] == []
