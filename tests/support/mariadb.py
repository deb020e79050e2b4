"""A MariaDB of the tests' own, on loopback, with defaults that a careless client would fall over."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATH = f"{os.environ['PATH']}:/usr/sbin"


@contextmanager
def running_mariadb() -> Iterator[int]:
    """:return: its port; the user is ``root``, without a password; the database ``test``. Skips where there is none."""
    pytest.importorskip("airflow.providers.mysql", reason="needs apache-airflow-providers-mysql")
    connector = pytest.importorskip("mysql.connector", reason="needs mysql-connector-python")
    server = shutil.which("mariadbd", path=PATH)
    if not server:
        pytest.skip("no MariaDB: apt-get install mariadb-server-core")
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, socket.socket() as probe:
        (Path(folder) / "data").mkdir()
        for path in (folder, f"{folder}/data"):
            shutil.chown(path, user)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        options = [
            *("--no-defaults", f"--datadir={folder}/data", f"--user={user}", "--skip-grant-tables", "--skip-log-error"),
            *("--bind-address=127.0.0.1", f"--port={port}", f"--socket={folder}/socket", f"--pid-file={folder}/pid"),
            *("--default-time-zone=-05:00", "--character-set-server=latin1", "--sql-mode="),
        ]
        process = subprocess.Popen([server, *options], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait_until_it_listens(process, port)
            with connector.connect(host="127.0.0.1", port=port, user="root") as connection:
                connection.cursor().execute("CREATE DATABASE test")
            yield port
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_it_listens(process, port):
    for _ in range(600):
        assert process.poll() is None, f"MariaDB ended with {process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("MariaDB does not listen")
