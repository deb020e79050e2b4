"""The pages read well on the code host, too, and the README on a package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support.snippets import PAGES, REPO, Page

SOURCE = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]["urls"]["Source"]
IN_REPOSITORY = re.compile(rf"{re.escape(SOURCE)}/(?:blob|tree|raw)/main/([^#]+)(?:#(.+))?")

# Directives (also a fence that is not closed), roles, targets and comments: what only Sphinx understands.
ONLY_FOR_SPHINX = re.compile(r"^(```|:::|%|\([\w-]+\)=$)|\{[a-z:-]+\}`|tests/[\w/]+\.py", re.MULTILINE)


def prose(page: Page) -> str:
    """The page without its code."""
    return re.sub(r"^```[^\n{]*\n.*?^```$", "", page.text, flags=re.MULTILINE | re.DOTALL)


def links(page: Page) -> list[str]:
    return re.findall(r"\]\((\S+?)\)", prose(page))


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as the code host makes them."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_markup_that_only_sphinx_understands(path: str):
    assert [match[0] for match in ONLY_FOR_SPHINX.finditer(prose(Page(path)))] == []


@pytest.mark.parametrize(
    "text",
    [
        "```{include} x\n",
        "```\n",
        "::: {note}\n",
        "% tests/test_x.py::test_y\n",
        "(the-extra)=\n",
        "{doc}`x`",
        "tests/x.py",
    ],
)
def test_such_markup_is_found(text: str):
    assert ONLY_FOR_SPHINX.search(text)


@pytest.mark.parametrize("path", [*PAGES, "CONTRIBUTING.md", "RELEASING.md", "SECURITY.md"])
def test_every_link_into_the_repository_leads_somewhere(path: str):
    wrong = []
    for link in links(Page(path)):
        if in_repository := IN_REPOSITORY.fullmatch(link):
            target, anchor = REPO / in_repository[1], in_repository[2]
        elif re.match(r"\w+:", link):
            continue
        else:
            name, _, anchor = unquote(link).partition("#")
            target = (REPO / path).parent / name if name else REPO / path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_links_and_pictures_of_the_readme_are_absolute():
    found = links(Page("README.md"))
    assert len(found) > 20
    assert [link for link in found if not link.startswith("https://")] == []
    assert all(
        IN_REPOSITORY.fullmatch(link) for link in found if link.startswith(f"{SOURCE}/") and "/issues" not in link
    )


def test_the_readme_is_short():
    assert len(Page("README.md").text.splitlines()) <= 155


def test_the_readme_has_no_badges():
    """No service measures this project yet, so a badge would show nothing."""
    pictures = re.findall(r"!\[.*?\]\((\S+?)\)", Page("README.md").text)
    assert pictures
    assert all(IN_REPOSITORY.fullmatch(picture) for picture in pictures)
