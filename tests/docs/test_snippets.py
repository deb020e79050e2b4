"""Every snippet of the README and of every page has a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.snippets import PAGES, Page

TESTS = {
    page: path.read_text()
    for path in Path(__file__).parent.glob("test_*.py")
    for page in re.findall(r'^PAGE = Page\("(.+)"\)$', path.read_text(), re.MULTILINE)
}


@pytest.mark.parametrize("path", PAGES)
def test_every_snippet_has_a_test(path: str):
    page = Page(path)
    tested = re.findall(r'\bPAGE\.block\("(\w+)", "(.+?)"\)', TESTS.get(path, ""))
    assert {page.block(*arguments) for arguments in tested} == {code for _, code in page.blocks}
