"""The tests that pages name as proof are there."""

from __future__ import annotations

import re

import pytest

from docs.snippets import PAGES, REPO, Page

PAGE = Page("docs/faults.md")
CITED = [proof for path in PAGES for proof in re.findall(r"^% (tests/.+)::(test_\w+)$", Page(path).text, re.MULTILINE)]


def test_every_table_has_proof():
    assert len(CITED) > 4 * PAGE.text.count("\n|---|---|\n")


@pytest.mark.parametrize(("path", "name"), CITED)
def test_proof(path: str, name: str):
    assert re.search(rf"^ *(async )?def {name}\(", (REPO / path).read_text(), re.MULTILINE)
