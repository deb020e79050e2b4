"""The support table of the README, the capabilities of the tests, and the Airflow that is installed say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from capabilities import AIRFLOW, CAPABILITIES, VERSIONS, Capability, as_text

REPO = Path(__file__).parent.parent


def table() -> list[list[str]]:
    readme = (REPO / "README.md").read_text()
    rows = readme[readme.index("| Airflow | 2.11 ") :].partition("\n\n")[0].splitlines()
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
