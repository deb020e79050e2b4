"""An Airflow on several processes, as in production: PostgreSQL, Redis, and CeleryExecutor with two workers."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.standalone import Standalone, free_ports, processes_of

SLOTS = 2
"""Tasks at a time on a worker."""

SETTINGS = {
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__PARALLELISM": "16",
    "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "5",
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": str(SLOTS),
    # Longer than any task: a message that nobody has acknowledged by then is given to another worker.
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "3600",
    # A task whose worker is gone is noticed, and tried again, after 20 s instead of 5 minutes.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # So is one that the worker had taken from the broker and not started yet.
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
}


@contextmanager
def running_redis(folder: Path) -> Iterator[int]:
    """:return: its port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("no redis-server: apt-get install redis-server")
    (port,) = free_ports(1)
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen([program, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield port
    finally:
        server.terminate()
        server.wait(30)


class Cluster(Standalone):
    """A running cluster, as a context manager.

    :param home: its AIRFLOW_HOME, made anew.
    :param connection: what ``leadconv_default`` is.
    :param dags: the folder of DAGs.
    :param postgres_port: of the database.
    :param redis_port: of the broker.
    """

    def __init__(
        self, home: Path, connection: Mapping[str, Any], dags: Path, postgres_port: int, redis_port: int
    ) -> None:
        super().__init__(home, connection, dags)
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        database = f"postgresql+psycopg2://tester@127.0.0.1:{postgres_port}/postgres"
        self._environment |= SETTINGS | {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database}",
            "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
        }

    def _launch(self) -> None:
        migration = self._start("db", "migrate")
        if migration.wait(120):
            raise AssertionError(self.console.read_text(errors="replace")[-4000:])
        self._started.remove(migration)
        for part in ("scheduler", "api-server", "dag-processor"):
            self._start(part)
        self._start("triggerer", "--skip-serve-logs")  # which would not be on loopback only
        for name in ("one", "two"):
            self.start_worker(name)

    def start_worker(self, name: str) -> None:
        """Start a worker, with logs of its own."""
        self._workers[name] = self._start(
            *("celery", "worker", "--skip-serve-logs", "--celery-hostname", name),
            AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(self.logs_of(name)),
        )

    def logs_of(self, worker: str) -> Path:
        """:return: the folder of the logs of its tasks."""
        return self.home / "logs" / worker

    def kill_worker(self, name: str) -> None:
        """Kill a worker and all it has started, at once."""
        for process in processes_of(self._workers[name].pid):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
