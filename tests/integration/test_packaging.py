"""The built sdist and wheel, and the wheel installed and used as the README tells a newcomer."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from urllib.parse import quote

import pytest
from packaging.requirements import Requirement
from trove_classifiers import classifiers

import airflow_provider_leadconv
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.capabilities import AIRFLOW, VERSIONS, as_text
from tests.support.snippets import Page

REPO = Path(__file__).parents[2]
PACKAGE = REPO / "airflow_provider_leadconv"
RELEASING = (REPO / "RELEASING.md").read_text()


def run(*command: str | Path, folder: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    result = subprocess.run(
        [str(part) for part in command],
        cwd=folder,  # not the repository, whose modules Python would find first
        env=inherited | {"AIRFLOW_HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]
    return result.stdout


def build(folder: Path, *options: str) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", folder, REPO, folder=folder)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    return folder


@pytest.fixture(scope="module")
def newcomer(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a new environment that has the wheel, Airflow, and nothing else of ours."""
    folder, tools = tmp_path_factory.mktemp("newcomer"), Path(sys.executable).parent
    (wheel,) = built.glob("*.whl")
    run(tools / "uv", "venv", "--quiet", "--python", sys.executable, folder / "venv", folder=folder)
    run(
        *(tools / "uv", "pip", "install", "--quiet", "--python", folder / "venv" / "bin" / "python"),
        *("--constraint", REPO / "constraints" / f"airflow-{as_text(AIRFLOW)}.txt", "apache-airflow", wheel),
        folder=folder,
    )
    return folder / "venv" / "bin"


def test_an_index_would_take_them(built: Path):
    run(sys.executable, "-m", "twine", "check", "--strict", *built.iterdir(), folder=built)


def test_the_wheel_is_the_same_from_the_sdist_and_from_the_repository(built: Path, tmp_path: Path):
    build(tmp_path, "--wheel")
    (from_repository,), (from_sdist,) = tmp_path.glob("*.whl"), built.glob("*.whl")
    assert contents(from_repository) == contents(from_sdist)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(wheel: Path) -> Message:
    (text,) = [data for name, data in contents(wheel).items() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(text.decode())


PROVIDERS = {
    "amazon": "apache-airflow-providers-amazon[s3fs]",
    "google": "apache-airflow-providers-google",
    "microsoft-azure": "apache-airflow-providers-microsoft-azure",
    "mysql": "apache-airflow-providers-mysql",
    "postgres": "apache-airflow-providers-postgres",
    "sqlite": "apache-airflow-providers-sqlite",
}
"""Extra -> the package that a message names if it is missing: tests/hooks/test_paths.py and test_sql.py."""


def test_extras_bring_what_messages_name(built: Path):
    (wheel,) = built.glob("*.whl")
    about = metadata(wheel)
    required = [Requirement(text) for text in about.get_all("Requires-Dist")]
    for extra, package in PROVIDERS.items():
        assert extra in about.get_all("Provides-Extra")
        brought = [requirement for requirement in required if str(requirement.marker) == f'extra == "{extra}"']
        assert [str(requirement).partition(">=")[0] for requirement in brought] == [package]


def test_registries_find_what_they_look_for(built: Path):
    """What Astronomer's registry and an index sort packages by, and link to."""
    (wheel,) = built.glob("*.whl")
    found = metadata(wheel)
    assert found["Name"] == "airflow-provider-leadconv"
    assert found["License-Expression"] == "Apache-2.0"
    assert "airflow-provider" in found["Keywords"].split(",")
    kinds = set(found.get_all("Classifier", []))
    assert kinds - classifiers == set()
    assert kinds >= {"Framework :: Apache Airflow", "Framework :: Apache Airflow :: Provider", "Typing :: Typed"}
    links = dict(link.split(", ") for link in found.get_all("Project-URL", []))
    assert links.keys() == {"Changelog", "Documentation", "Issues", "Source"}
    assert {link.startswith(links["Source"]) for link in links.values()} == {True}
    assert set(found.get_all("License-File", [])) == {"LICENSE", "NOTICE"}


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
        "RELEASING.md",
        "SECURITY.md",
        "Makefile",
        "NOTICE",
        "README.md",
        *(f"constraints/airflow-{as_text(version)}.txt" for version in VERSIONS),
        "example_dags/leadconv_quickstart.py",
        "scripts/demo.py",
        "tests/conftest.py",
    }


def test_the_changelog_has_this_version():
    text = (REPO / "CHANGELOG.md").read_text()
    first, *released = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    assert first == "Unreleased"
    assert released == sorted(released, key=lambda version: [*map(int, version.split("."))], reverse=True)
    unreleased = text.partition("## [Unreleased]")[2].partition("\n## ")[0]
    assert airflow_provider_leadconv.__version__ in [
        *released[:1],
        *re.findall(r"^([\d.]+), ", unreleased, re.MULTILINE),
    ]


def test_the_commands_of_the_release_checklist_are_there():
    commands = re.findall(
        r"^   (\S+ ?\S*)", "\n".join(re.findall(r"```bash\n(.*?)```", RELEASING, re.DOTALL)), re.MULTILINE
    )
    assert commands
    makefile = (REPO / "Makefile").read_text()
    for command in commands:
        program, _, argument = command.partition(" ")
        if program == "make":
            assert f"\n{argument}:" in makefile
        elif program.startswith(".venv/bin/"):
            assert Path(sys.executable).with_name(Path(program).name).exists()


@pytest.mark.airflow
def test_airflow_shows_the_provider_after_an_installation(newcomer: Path, tmp_path: Path):
    shown = run(
        newcomer / "airflow", "providers", "get", "airflow-provider-leadconv", "--output", "json", folder=tmp_path
    )
    (provider,) = json.loads(shown[shown.index("[{") :])
    assert provider["Provider"] == "airflow-provider-leadconv"
    assert provider["Version"] == airflow_provider_leadconv.__version__


@pytest.mark.slow  # tests/docs/test_tutorial.py has a first DAG, too, and the test above the installed wheel
@pytest.mark.airflow
def test_a_newcomers_first_dag_succeeds(newcomer: Path, tmp_path: Path):
    """The README's connection and first DAG, but for the host, as the newcomer has no account, and the folder."""
    readme, data = Page("README.md"), tmp_path / "data"
    (tmp_path / "dags").mkdir()
    data.mkdir()
    dag = readme.block("python", "results_path").replace("/data/", f"{data}/")
    if AIRFLOW < (3, 0):  # as the README says
        dag = dag.replace("from airflow.sdk import", "from airflow.providers.common.compat.sdk import")
    (tmp_path / "dags" / "convert_leads.py").write_text(dag)
    with Sandbox(leads=5) as sandbox:
        sandbox.add_token("my-access-token")
        leads = sandbox.leads
        (data / "leads.csv").write_text("\n".join(["lead_id", *map(str, leads)]))
        connect = readme.block("bash", "my-access-token").replace("@/", f"@{quote(sandbox.base_url, safe='')}/")
        script = f"{connect}airflow db migrate && airflow dags test convert_leads"
        path = f"{newcomer}{os.pathsep}{os.environ['PATH']}"
        output = run("bash", "-euc", script, folder=tmp_path, PATH=path, AIRFLOW__CORE__LOAD_EXAMPLES="False")
        assert [sandbox.conversion_counts.get(lead) for lead in leads] == [1] * len(leads), output[-4000:]
    (results,) = (data / "results").iterdir()
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["lead_id"], line["status"]) for line in lines] == [(lead, "converted") for lead in leads]
