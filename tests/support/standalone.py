"""``airflow standalone``, started and wholly stopped: scheduler, triggerer and web server, of Airflow 2 and 3."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2
import psutil

from tests.support.capabilities import AIRFLOW

EXAMPLE_DAGS = Path(__file__).parents[2] / "example_dags"
STOP_TIMEOUT = 20.0
START_TIMEOUT = 300.0
REQUEST_TIMEOUT = 60.0  # two cores are busy while Airflow starts


def airflow_environment(home: Path, dags: Path) -> dict[str, str]:
    """Settings of an Airflow of its own, with a folder of DAGs."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return inherited | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # standalone calls `airflow`
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    }


def server_settings(port: int) -> dict[str, str]:
    """What Airflow needs to response at this port, to who comes from this machine."""
    if AIRFLOW < (3, 0):
        return {"AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1", "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port)}
    return {
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",  # of several, those that response late are killed, as on a busy machine
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": str(REQUEST_TIMEOUT),
    }


def processes_of(session: int) -> list[psutil.Process]:
    """All processes of a session, whoever their parents are. Some of Airflow's outlive the one that started them."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue  # ended meanwhile
    return found


def free_ports(number: int) -> list[int]:
    with ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(closing(socket.create_server(("127.0.0.1", 0)))) for _ in range(number)]
        return [server.getsockname()[1] for server in sockets]


class Standalone:
    """A running Airflow, as a context manager.

    :param home: its AIRFLOW_HOME, made anew.
    :param connection: what ``leadconv_default`` is; default: there is none.
    :param dags: the folder of DAGs.
    :param settings: further environment variables, or other values of these.
    """

    def __init__(
        self,
        home: Path,
        connection: Mapping[str, Any] | None = None,
        dags: Path = EXAMPLE_DAGS,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.console = home / "console.log"
        port, worker_logs, trigger_logs = free_ports(3)
        self._started: list[subprocess.Popen[bytes]] = []
        self.url = f"http://127.0.0.1:{port}"
        self._client = httpx2.Client(base_url=self.url, timeout=REQUEST_TIMEOUT, trust_env=False)
        self._environment = {
            **airflow_environment(home, dags),
            **server_settings(port),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            **({"AIRFLOW_CONN_LEADCONV_DEFAULT": json.dumps(connection)} if connection else {}),
            **(settings or {}),
        }

    def __enter__(self) -> Self:
        self.home.mkdir()
        try:
            self._launch()
            self._wait(self._is_healthy, START_TIMEOUT)
            if AIRFLOW >= (3, 0):
                token = self._client.get("/auth/token").raise_for_status().json()["access_token"]
                self._client.headers["Authorization"] = f"Bearer {token}"
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def processes(self) -> list[psutil.Process]:
        """Those that are running."""
        return [process for session in self._started for process in processes_of(session.pid)]

    def run_dag(self, dag_id: str, conf: Mapping[str, Any], timeout: float = 300.0) -> dict[str, str]:
        """Trigger a DAG and wait for its end.

        :return: task id -> state; ``dag_run`` -> the run's.
        """
        return self.finish_run(self.start_run(dag_id, conf, timeout), timeout)

    def start_run(self, dag_id: str, conf: Mapping[str, Any], timeout: float = 300.0, **body: Any) -> str:
        """Trigger a DAG.

        :param body: what else to say of the run, such as its ``logical_date``.
        :return: the path of the run.
        """
        dag = self._dag(dag_id, timeout)
        started = self._client.post(f"{dag}/dagRuns", json={"logical_date": None, "conf": conf, **body})
        return f"{dag}/dagRuns/{quote(started.raise_for_status().json()['dag_run_id'])}"

    def unpause(self, dag_id: str, timeout: float = 300.0) -> None:
        """Let the scheduler run a DAG."""
        self._client.patch(self._dag(dag_id, timeout), json={"is_paused": False}).raise_for_status()

    def runs(self, dag_id: str) -> list[str]:
        """:return: the paths of a DAG's runs."""
        runs = self._client.get(f"/api/v2/dags/{dag_id}/dagRuns").raise_for_status().json()["dag_runs"]
        return [f"/api/v2/dags/{dag_id}/dagRuns/{quote(run['dag_run_id'])}" for run in runs]

    def get(self, path: str) -> dict[str, Any]:
        """Ask Airflow's REST API."""
        return self._client.get(path).raise_for_status().json()

    def returned(self, run: str, task_id: str) -> Any:
        """:return: what a task returned."""
        return self.get(f"{run}/taskInstances/{task_id}/xcomEntries/return_value?stringify=false")["value"]

    def choose(self, run: str, task_id: str, option: str) -> None:
        """Response a task that waits for a person, as the form in the UI does."""
        url = f"{run}/taskInstances/{task_id}/-1/hitlDetails"
        self._client.patch(url, json={"chosen_options": [option], "params_input": {}}).raise_for_status()

    def finish_run(self, url: str, timeout: float = 300.0) -> dict[str, str]:
        """Wait for the end of a run.

        :return: task id -> state; ``dag_run`` -> the run's.
        """
        self._wait(lambda: self._client.get(url).json()["state"] in {"success", "failed"}, timeout)
        return {"dag_run": self._client.get(url).json()["state"], **self.task_states(url)}

    def task_states(self, url: str) -> dict[str, str]:
        """:return: task id -> state in a run."""
        tasks = self._client.get(f"{url}/taskInstances").json()["task_instances"]
        return {task["task_id"]: task["state"] for task in tasks}

    def wait_for(self, condition: Callable[[], bool], timeout: float = 120.0) -> None:
        """Wait until something is so."""
        self._wait(condition, timeout)

    def kill_triggerer(self) -> None:
        """Kill the triggerer and what it started, at once."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if "triggerer" in " ".join(process.cmdline()):
                    process.kill()

    def start_triggerer(self) -> None:
        """Start a triggerer in the place of the one that was killed."""
        self._start("triggerer")

    def _launch(self) -> None:
        self._start("standalone")

    def _start(self, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
        """Start ``airflow ...`` in a session of its own.

        :param settings: environment variables for this one only.
        """
        with self.console.open("ab") as console:
            process = subprocess.Popen(
                [sys.executable, "-m", "airflow", *arguments],
                cwd=self.home,
                env=self._environment | settings,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _dag(self, dag_id: str, timeout: float) -> str:
        url = f"/api/v2/dags/{dag_id}"
        self._wait(lambda: self._client.get(url).status_code == httpx2.codes.OK, timeout)
        return url

    def _is_healthy(self) -> bool:
        try:
            health = self._client.get("/api/v2/monitor/health" if AIRFLOW >= (3, 0) else "/health").json()
        except (httpx2.HTTPError, ValueError):
            return False
        if AIRFLOW < (3, 0):
            del health["dag_processor"]  # there it is a part of the scheduler
        return all(part["status"] == "healthy" for part in health.values())

    def _wait(self, condition: Callable[[], bool], timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not condition():
            if self._started[0].poll() is not None or time.monotonic() > deadline:
                raise AssertionError(
                    "Airflow did not come so far:\n" + self.console.read_text(errors="replace")[-4000:]
                )
            time.sleep(0.5)

    def _stop(self) -> None:
        self._client.close()
        # `airflow standalone` leaves children of its children behind when it is told to end.
        for end in (psutil.Process.terminate, psutil.Process.kill):
            left = self.processes()
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    end(process)
            psutil.wait_procs(left, STOP_TIMEOUT)
        for started in self._started:
            started.wait()
