"""Shared by all tests. Airflow is kept in a folder of its own, before anything imports it.

It has no database, except for Airflow 2, which cannot run a task without one.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import tempfile
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.capabilities import AIRFLOW
from tests.support.mariadb import running_mariadb
from tests.support.postgres import running_postgres

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox import Sandbox
    from tests.support.history_recorder import HistoryRecorder

_home = tempfile.TemporaryDirectory(prefix="leadconv-airflow-")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "LEADCONV_STATE_DIR": f"{_home.name}/rate-limits",  # not that of the user, whose processes share rate limiters
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__METRICS__TIMER_UNIT_CONSISTENCY": "True",  # not to choose is deprecated in Airflow 2
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
        "sqlite:////nonexistent/none.db" if AIRFLOW >= (3, 0) else f"sqlite:///{_home.name}/airflow.db"
    ),
}


_CONNECTIONS = "Using Connection\\.:DeprecationWarning"  # where it reads them from the environment
# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

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


MOST_VIOLATIONS = 20  # that are shown


def pytest_configure(config: pytest.Config) -> None:
    for message in WARNS_OF_ITSELF.get(AIRFLOW, ()):
        config.addinivalue_line("filterwarnings", f"ignore:{message}")
    if AIRFLOW < (3, 0):  # its connection forms import this, which uses much that is deprecated
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("flask_appbuilder")


def _history_recorder() -> HistoryRecorder:
    from tests.support.history_recorder import RECORDER

    RECORDER.install()
    return RECORDER


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start an Airflow: at the end, they would keep one process busy and the others idle."""
    long = {item.path for item in items if item.get_closest_marker("airflow")}
    items.sort(key=lambda item: item.path not in long)


@pytest.fixture(scope="session", autouse=True)
def _recorded_histories() -> None:
    """Not to load the sandbox for tests that do not use it. Test modules that use it have loaded it."""
    if "airflow_provider_leadconv.sandbox.server" in sys.modules:
        _history_recorder()


@pytest.fixture(autouse=True)
def _true_history(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test: what every history of a sandbox must fulfil; see ``tests/support/history.py``."""
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    if "airflow_provider_leadconv.sandbox.server" in sys.modules:
        _history_recorder().forget()
    yield
    if "airflow_provider_leadconv.sandbox.server" in sys.modules:
        expected = [re.compile(*marker.args) for marker in request.node.iter_markers("expected_violation")]
        violations = _history_recorder().violations(folder)
        unexpected = [text for text in violations if not any(pattern.search(text) for pattern in expected)]
        if unexpected:
            shown = "\n".join(unexpected[:MOST_VIOLATIONS])
            pytest.fail(f"{len(unexpected)} violations in the history of the sandbox:\n{shown}", pytrace=False)


@pytest.fixture(autouse=True)
def _rate_limiters_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share rate limiters with the processes that a test starts, and with no other test."""
    monkeypatch.setenv("LEADCONV_STATE_DIR", f"{_home.name}/rate-limits-{uuid.uuid4().hex}")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox that ``leadconv_default`` leads to, without a rate limit and quick to settle.

    Its links lead to another host, which reports a client that follows them.
    """
    from airflow_provider_leadconv.sandbox import Sandbox

    with Sandbox(leads=20, conversions=30, link_base=_history_recorder().foreign_host.url) as sandbox:
        connection = {**sandbox.connection, "extra": {"timeout": 2, "settle_time": 0.1}}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        yield sandbox


@pytest.fixture
def full_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients start at their full rate, as a sandbox without a rate limit needs no caution."""
    monkeypatch.setattr("airflow_provider_leadconv.api.rate_limiting.adaptive.START_RATE", 1e6)


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


@pytest.fixture(scope="session")
def mariadb_port() -> Iterator[int]:
    with running_mariadb() as port:
        yield port


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Gives what was logged so far. Airflow 3 prints that, Airflow 2 has it from `logging`."""
    return lambda: capsys.readouterr().out if AIRFLOW >= (3, 0) else caplog.text


@pytest.fixture
def bucket(s3_endpoint):
    """A new bucket, as a path of universal_pathlib."""
    from upath import UPath

    options = {"endpoint_url": s3_endpoint, "key": "key", "secret": "secret"}
    path = UPath(f"s3://bucket-{uuid.uuid4().hex}", **options)
    path.fs.mkdir(path.path)
    return path


@pytest.fixture(params=["local", "memory", "s3"])
def place(request, tmp_path):
    """A folder to export to, in each kind of store."""
    if request.param == "local":
        return tmp_path
    from upath import UPath

    if request.param == "memory":
        return UPath(f"memory://{uuid.uuid4().hex}/exports")
    return request.getfixturevalue("bucket") / "exports"
