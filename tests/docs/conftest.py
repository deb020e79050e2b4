from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.snippets import shell


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an Airflow with a database, for commands."""
    home = tmp_path_factory.mktemp("airflow")
    shell("airflow db migrate", home, AIRFLOW_HOME=str(home))
    return home
