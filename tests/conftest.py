"""Shared by all tests. Airflow is kept in a folder of its own, before anything imports it.

It has no database, except for Airflow 2, which cannot run a task without one.
"""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from capabilities import AIRFLOW
from postgres import running_postgres

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox import Sandbox

_home = tempfile.TemporaryDirectory(prefix="leadconv-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",  # not to choose is deprecated in Airflow 2
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
        "sqlite:////nonexistent/none.db" if AIRFLOW >= (3, 0) else f"sqlite:///{_home.name}/airflow.db"
    ),
}


_CONNECTIONS = "Using Connection\\.:DeprecationWarning"  # where it reads them from the environment
WARNS_OF_ITSELF = {
    (3, 0): (_CONNECTIONS,),
    (3, 1): (
        _CONNECTIONS,
        "The `airflow.operators.branch:FutureWarning",  # in common-compat
        "The ``noload`` loader strategy:DeprecationWarning",  # of SQLAlchemy, in the models
        "The anyio.abc.BlockingPortal alias:DeprecationWarning",  # in starlette
    ),
}
"""What a version of Airflow says of its own code. All else that is deprecated is an error, whoever says so."""


def pytest_configure(config: pytest.Config) -> None:
    for message in WARNS_OF_ITSELF.get(AIRFLOW, ()):
        config.addinivalue_line("filterwarnings", f"ignore:{message}")
    if AIRFLOW < (3, 0):  # its connection forms import this, which uses much that is deprecated
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("flask_appbuilder")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that ``leadconv_default`` leads to, without a rate limit and quick to settle."""
    from airflow_provider_leadconv.sandbox import Sandbox

    with Sandbox(leads=20, conversions=30) as sandbox:
        connection = {**sandbox.connection, "extra": {"timeout": 2, "settle_time": 0.1}}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        yield sandbox


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """A stand-in for S3, on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def postgres_port() -> Iterator[int]:
    with running_postgres() as port:
        yield port


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Gives what was logged so far. Airflow 3 prints that, Airflow 2 has it from `logging`."""
    return lambda: capsys.readouterr().out if AIRFLOW >= (3, 0) else caplog.text
