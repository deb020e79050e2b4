"""The table in docs/compatibility.md, the capabilities of the tests, and the Airflow that is installed say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.constraints import PRERELEASES
from scripts.test_matrix import Result
from tests.support.capabilities import AIRFLOW, CAPABILITIES, VERSIONS, Capability, Version, as_text

REPO = Path(__file__).parent.parent


def table() -> list[list[str]]:
    page = (REPO / "docs" / "compatibility.md").read_text()
    rows = page[page.index("| Airflow | 2.11 ") :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows if not row.startswith("|-")]


@pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda capability: capability.text)
def test_it_is_there_from_the_version_that_is_named(capability: Capability):
    assert capability.is_there == (capability.since <= AIRFLOW)


def test_the_support_table():
    (_, *versions), (_, *pythons), (_, *jobs), *rows = table()
    assert versions == [as_text(version) for version in VERSIONS]
    assert set(jobs) == {"yes"}
    wanted = {
        capability.text: ["yes" if capability.since <= version else "no" for version in VERSIONS]
        for capability in CAPABILITIES
    }
    assert {row[0]: row[1:] for row in rows} == wanted
    pairs = re.findall(
        r'^    \("([\d.]+)", "([\d.]+)"\),', (REPO / "scripts" / "test_matrix.py").read_text(), re.MULTILINE
    )
    assert [python.split(", ") for python in pythons] == [
        [python for airflow, python in pairs if airflow == version] for version in versions
    ]


def test_every_version_has_constraints():
    names = {path.name for path in (REPO / "constraints").iterdir()}
    assert names == {f"airflow-{as_text(version)}.txt" for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS, ids=as_text)
def test_only_a_pre_release_of_airflow_may_fail(version: Version):
    failed = Result(as_text(version), "3.13", "1 failed, 2 passed", 9.0, failed=True, failures=("tests/test_x.py::y",))
    is_prerelease = as_text(version) in PRERELEASES
    assert failed.is_allowed == is_prerelease
    assert ("allowed" in str(failed)) == is_prerelease
    assert "1 failed, 2 passed<br>tests/test_x.py::y" in str(failed)
    assert Result(as_text(version), "3.13", "3 passed", 9.0).is_allowed
