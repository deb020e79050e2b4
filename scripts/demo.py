"""``make demo``: convert leads, wait for one and export all conversions, in a real Airflow against the sandbox.

The sandbox loses the answer to some of the conversions it makes, as a bad network would. At the end its own records
are compared with what Airflow reports and with the files.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

from airflow_provider_leadconv.sandbox import Sandbox

REPO = Path(__file__).resolve().parent.parent
BATCH = 80
LEADS = 100
EARLIER_CONVERSIONS = 1000
LOST_ANSWERS = "drop_after,share=0.05,method=POST"
LOG = "airflow.log"
STOP_TIMEOUT = 10.0


class DemoError(Exception):
    """The demo did not work; the text says what to look at."""


class StoppedError(Exception):
    """Somebody pressed Ctrl-C, or told the demo to end."""


class Airflow:
    """An Airflow of the demo's own: SQLite, logs and settings in one folder, no ports.

    :param folder: where it lives.
    :param connection: what ``leadconv_default`` is.
    :param stopped: set when the demo is to end early.
    """

    def __init__(self, folder: Path, connection: Mapping[str, Any], stopped: Event) -> None:
        self._stopped = stopped
        self.home = folder.resolve() / "airflow"
        self.log = folder / LOG
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        self._environment = inherited | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(REPO / "example_dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW_CONN_LEADCONV_DEFAULT": json.dumps(connection),
        }

    def run(self, *arguments: str) -> None:
        """Run ``airflow ...`` to its end; however this one ends, that one does not outlive it.

        :raises DemoError: if it fails.
        :raises StoppedError: if the demo is to end.
        """
        command = [sys.executable, "-m", "airflow", *arguments]
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                while process.poll() is None:
                    if self._stopped.wait(0.1):
                        raise StoppedError
            finally:
                _end(process)
        if process.returncode != 0:
            last_lines = "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])
            raise DemoError(f"`airflow {' '.join(arguments[:2])}` failed; the end of {self.log}:\n{last_lines}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those it started: the group was made for them."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            continue


def run(folder: Path, stopped: Event) -> None:
    """Run the demo with all its files below a folder, which is emptied first.

    :raises DemoError: if anything is not as it should be.
    :raises StoppedError: if the demo is to end.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / LOG).exists():
        raise DemoError(f"{folder} holds something else than an earlier demo")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.monotonic()
    with Sandbox(
        leads=LEADS, conversions=EARLIER_CONVERSIONS, seed=time.time_ns(), rate=10, faults=[LOST_ANSWERS]
    ) as sandbox:
        _say("Sandbox", f"{sandbox.base_url}: {LEADS} leads, {EARLIER_CONVERSIONS:,} conversions, 10 requests/s;")
        _say("", "it loses the answer to 1 conversion in 20 after making it")
        airflow = Airflow(folder, {**sandbox.connection, "extra": {"timeout": 5, "settle_time": 1}}, stopped)
        _say("Airflow", "makes its database (SQLite) ...")
        airflow.run("db", "migrate")
        _say("", "runs example_dags/leadconv_quickstart.py with `airflow dags test` ...")
        leads = sandbox.leads[:BATCH]
        conf = {"leads": leads, "folder": str(folder.resolve())}
        airflow.run("dags", "test", "leadconv_quickstart", "--conf", json.dumps(conf))
        _report(folder, leads, sandbox)
    _say("Took", f"{time.monotonic() - started:.0f} s")


def _report(folder: Path, leads: list[int], sandbox: Sandbox) -> None:
    (results_path,), exported_path = (folder / "results").glob("*.jsonl"), folder / "conversions.jsonl"
    results, exported = _read(results_path), _read(exported_path)
    converted = [row["lead_id"] for row in results if row["status"] == "converted"]
    lost = sum(request.fault is not None for request in sandbox.requests)
    times_converted = [sandbox.conversion_counts.get(lead, 0) for lead in leads]
    waited_for = next(row for row in sandbox.conversions if row["lead_id"] == leads[-1])
    contact = waited_for["individual_id"] or waited_for["organization_id"]
    _say()
    _say("Converted", f"{len(converted)} of {len(leads)} leads")
    _say("", f"{lost} answers were lost; the sandbox counts {sum(times_converted)} conversions of {len(leads)} leads")
    _say("Waited for", f"lead {leads[-1]}: conversion {waited_for['id']} to contact {contact}")
    _say("Exported", f"{len(exported):,} conversions of the {len(sandbox.conversions):,} there are")
    _say()
    _say("Files", f"{os.path.relpath(exported_path)}  (the export)")
    _say("", f"{os.path.relpath(results_path)}  (what became of each lead)")
    _say("", f"{folder / LOG}  (what Airflow said)")
    right = {
        "each lead was converted once": times_converted == [1] * len(leads),
        "each lead has one result, in the order given": [row["lead_id"] for row in results] == leads,
        "each is reported as converted": converted == leads,
        "the export is complete": [row["id"] for row in exported] == [row["id"] for row in sandbox.conversions],
    }
    if wrong := [claim for claim, holds in right.items() if not holds]:
        raise DemoError(f"not true: {', '.join(wrong)}")


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _say(label: str = "", text: str = "") -> None:
    sys.stdout.write(f"{label:<12}{text}".rstrip() + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the demo, and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(".demo"), help="for all files; emptied first")
    folder = parser.parse_args().folder
    # Not by an exception: that could come between the start of a process and the note of its id.
    stopped = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        run(folder, stopped)
    except StoppedError:
        sys.stderr.write("Stopped.\n")
        return 130
    except DemoError as error:
        sys.stderr.write(f"The demo failed: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
