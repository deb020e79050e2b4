"""A browser, an Airflow of its own and the sandbox."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import pytest
from s3fs import S3FileSystem

from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.browser import CHROMEDRIVER, CHROMIUM, Browser
from tests.support.capabilities import AIRFLOW
from tests.support.standalone import Standalone

if AIRFLOW >= (3, 0):
    from tests.support.ui_airflow3 import AirflowUI
else:
    from tests.support.ui_airflow2 import AirflowUI

KNOWN = {(2, 11), (3, 3)}
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if AIRFLOW not in KNOWN:
        reason = "the pages of Airflow 3.0 to 3.2 are others, and nobody has gone through them yet"
    elif not (CHROMIUM and CHROMEDRIVER):
        reason = "needs the Debian packages chromium and chromium-driver"
    else:
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Show what the browser showed when a test failed."""
    try:
        return (yield)
    except Exception as error:
        error.add_note(item.funcargs["browser"].save_evidence(item.funcargs["tmp_path"]))
        if "airflow" in item.funcargs:
            error.add_note(f"Airflow said: {item.funcargs['airflow'].console}")
        raise


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    with Browser(tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(leads=25, conversions=250, rate=10) as sandbox:
        yield sandbox


@pytest.fixture
def bucket(s3_endpoint: str) -> S3FileSystem:
    """An empty one by the name of ``sell``, as the file system it is in."""
    store = S3FileSystem(endpoint_url=s3_endpoint, key="key", secret="secret", skip_instance_cache=True)
    store.mkdir("sell")
    return store


@pytest.fixture
def airflow(tmp_path: Path, s3_endpoint: str) -> Iterator[Standalone]:
    """Without a connection to Sell, but with one to S3; its DAGs are paused, as they are in a new Airflow."""
    aws = {"conn_type": "aws", "login": "key", "password": "secret", "extra": {"endpoint_url": s3_endpoint}}
    settings = {
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(aws),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__DATABASE__LOAD_DEFAULT_CONNECTIONS": "False",
    }
    with Standalone(tmp_path / "airflow", settings=settings) as airflow:
        yield airflow
    assert airflow.processes() == []


@pytest.fixture
def ui(browser: Browser, airflow: Standalone) -> AirflowUI:
    ui = AirflowUI(browser, airflow.url)
    ui.sign_in(airflow.home)
    return ui


@pytest.fixture
def picture(browser: Browser) -> Callable[..., None]:
    """Takes pictures for the docs, if ``make test-ui`` is told a folder for them."""
    folder = os.environ.get("SCREENSHOTS")
    return lambda name, **options: browser.picture(Path(folder) / f"{name}.png", **options) if folder else None


@pytest.fixture
def files() -> Iterator[Path]:
    """A folder with a short name, as it is to be seen in the pictures."""
    with TemporaryDirectory(prefix="sell-") as folder:
        yield Path(folder)


@pytest.fixture
def sell() -> Iterator[str]:
    """In the place of Sell's web app: each page shows its own path."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"Sell shows {self.path}".encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
