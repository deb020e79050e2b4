"""What users install with the package has licences that go together with its own."""

from __future__ import annotations

from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest

from scripts.licences import DRIVERS, PACKAGE, is_allowed, licence_of, missing_of_extras, runtime_dependencies

NEEDED = runtime_dependencies()
WITH_EXTRAS = runtime_dependencies(*distribution(PACKAGE).metadata.get_all("Provides-Extra"))


def test_dependencies_are_found_with_theirs():
    assert {PACKAGE, "requests", "msgspec", "httpx2"} <= set(NEEDED)
    assert {"sqlalchemy", "markupsafe"} <= set(NEEDED), "of Airflow"
    assert {"pyarrow", "apache-airflow-providers-postgres"} <= set(WITH_EXTRAS) - set(NEEDED)
    assert "pytest" not in WITH_EXTRAS


def test_what_is_not_installed_is_named():
    assert missing_of_extras(["parquet"]) == []
    missing = missing_of_extras(distribution(PACKAGE).metadata.get_all("Provides-Extra"))
    assert set(missing) <= {"apache-airflow-providers-google", "apache-airflow-providers-microsoft-azure"}


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_the_licence_of_a_dependency_is_allowed(name: str):
    licence = licence_of(NEEDED[name])
    assert is_allowed(licence), licence


@pytest.mark.parametrize("name", sorted(WITH_EXTRAS.keys() - NEEDED.keys()))
def test_the_licence_of_what_an_extra_adds_is_allowed_or_accepted(name: str):
    licence = licence_of(WITH_EXTRAS[name])
    assert is_allowed(licence) != (name in DRIVERS), licence


@pytest.mark.parametrize(
    ("metadata", "licence", "allowed"),
    [
        ("License-Expression: MIT AND (BSD-3-Clause OR GPL-3.0-only)", "MIT AND (BSD-3-Clause OR GPL-3.0-only)", True),
        ("License-Expression: MIT AND GPL-3.0-only", "MIT AND GPL-3.0-only", False),
        ("License-Expression: LGPL-3.0-or-later", "LGPL-3.0-or-later", False),
        ("License: Apache License 2.0", "Apache-2.0", True),
        ("License: MIT\nClassifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)", "GPLv3", False),
        ("Classifier: License :: OSI Approved :: BSD License", "BSD-3-Clause", True),
        ("License: Proprietary", "Proprietary", False),
        ("Summary: says nothing", "none named", False),
    ],
)
def test_what_metadata_says(metadata: str, licence: str, allowed: bool, tmp_path: Path):
    (tmp_path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: x\nVersion: 1\n{metadata}\n")
    found = licence_of(PathDistribution(tmp_path))
    assert licence in found
    assert is_allowed(found) == allowed
