"""The import for all versions, and the extras. ``tests/test_capabilities.py`` checks the table of versions."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.support.snippets import REPO, Page

PAGE = Page("docs/compatibility.md")


def test_the_import_that_works_on_all_versions(tmp_path: Path):
    assert {"DAG", "Param", "task"} <= set(PAGE.run(PAGE.block("python", "compat"), tmp_path))


def test_the_table_of_extras():
    extras = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {name for row in PAGE.table("extra") for name in re.findall(r"`([\w-]+)`", row[0])} == set(extras)
