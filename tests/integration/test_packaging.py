"""The built wheel, installed as a user installs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from capabilities import AIRFLOW, VERSIONS, as_text

import airflow_provider_leadconv

REPO = Path(__file__).parents[2]
PACKAGE = REPO / "airflow_provider_leadconv"


def run(*command: str | Path, folder: Path) -> str:
    result = subprocess.run(
        [str(part) for part in command],
        cwd=folder,  # not the repository, whose modules Python would find first
        env=os.environ | {"AIRFLOW_HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, REPO, folder=folder)
    return folder


def test_the_wheel_holds_the_package_and_nothing_else(built: Path):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {str(path.relative_to(REPO)) for path in (*PACKAGE.rglob("*.py"), PACKAGE / "py.typed")}
    assert {name for name in names if ".dist-info/" not in name} == sources
    assert {name.rpartition("/")[2] for name in names} >= {"LICENSE", "NOTICE", "entry_points.txt"}


def test_the_sdist_holds_what_its_readme_and_its_tests_need(built: Path):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "NOTICE",
        "README.md",
        *(f"constraints/airflow-{as_text(version)}.txt" for version in VERSIONS),
        "example_dags/leadconv_quickstart.py",
        "scripts/demo.py",
        "tests/conftest.py",
    }


@pytest.mark.airflow
def test_airflow_shows_the_provider_after_an_installation(built: Path, tmp_path: Path):
    (wheel,) = built.glob("*.whl")
    tools, installed = Path(sys.executable).parent, tmp_path / "venv" / "bin"
    run(tools / "uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "venv", folder=tmp_path)
    run(
        *(tools / "uv", "pip", "install", "--quiet", "--python", installed / "python"),
        *("--constraint", REPO / "constraints" / f"airflow-{as_text(AIRFLOW)}.txt", wheel),
        folder=tmp_path,
    )
    shown = run(
        *(installed / "airflow", "providers", "get", "airflow-provider-leadconv", "--output", "json"), folder=tmp_path
    )
    (provider,) = json.loads(shown[shown.index("[{") :])
    assert provider["Provider"] == "airflow-provider-leadconv"
    assert provider["Version"] == airflow_provider_leadconv.__version__
    run(installed / "python", "-c", "import airflow_provider_leadconv.operators.bulk", folder=tmp_path)
