"""The tests that the page names as proof are there."""

from __future__ import annotations

import re

import pytest

from docs.snippets import REPO, Page

PAGE = Page("docs/faults.md")


@pytest.mark.parametrize(("path", "name"), re.findall(r"^% (tests/.+)::(test_\w+)$", PAGE.text, re.MULTILINE))
def test_proof(path: str, name: str):
    assert re.search(rf"^ *(async )?def {name}\(", (REPO / path).read_text(), re.MULTILINE)
