"""The site as it is built: no warnings, nothing from elsewhere, every public class in the reference."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib import import_module
from inspect import isclass, isfunction
from pathlib import Path

import pytest

from airflow_provider_leadconv.api import exceptions
from airflow_provider_leadconv.get_provider_info import get_provider_info
from tests.support.capabilities import AIRFLOW
from tests.support.snippets import REPO

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(AIRFLOW < (3, 3), reason="the site is built with the Airflow of `make docs`"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the site, built from nothing, as ``make docs`` does it."""
    folder = tmp_path_factory.mktemp("site")
    (options,) = re.findall(r"sphinx-build (.*?) docs docs/_build/html", (REPO / "Makefile").read_text())
    command = [sys.executable, "-m", "sphinx", *options.split(), "--doctree-dir", folder / "doctrees"]
    built = subprocess.run([*command, REPO / "docs", folder / "html"], capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    assert "--fail-on-warning" in options
    return folder / "html"


class Loads(HTMLParser):
    """What a browser loads with a page, without being asked."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
        self.urls += [value or "" for name, value in attrs if name == names.get(tag)]


def test_nothing_is_loaded_from_elsewhere(site: Path):
    pages = list(site.rglob("*.html"))
    loads = {url for page in pages for url in Loads(page).urls}
    assert len(pages) > len(list((REPO / "docs").rglob("*.md")))
    assert len(loads) > 5
    assert [url for url in loads if "//" in url] == []
    styles = "".join(style.read_text() for style in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", styles) == []


def test_every_link_within_the_site_leads_somewhere(site: Path):
    """Sphinx checks references; this checks what it wrote, anchors included."""
    missing = []
    for page in site.rglob("*.html"):
        for href in re.findall(r'<a [^>]*href="([^"]+)"', page.read_text()):
            path, _, anchor = href.partition("#")
            if "//" in href or href.startswith("mailto:"):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and not re.search(rf'id="{re.escape(anchor)}"', target.read_text())):
                missing.append((page.name, href))
    assert missing == []


def public_names() -> list[str]:
    """What users import: the classes of the Airflow integration, and all errors."""
    info = get_provider_info()
    kinds = [entry for kind in ("hooks", "operators", "sensors", "triggers") for entry in info[kind]]
    modules = [module for entry in kinds for module in entry["python-modules"]]
    modules += [entry["python-module"] for entry in info["transfers"]]
    names = [exceptions.__name__, "airflow_provider_leadconv.api.models", "airflow_provider_leadconv.retry_policy"]
    return [
        f"{module.__name__}.{name}"
        for module in map(import_module, [*modules, *names])
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (isclass(value) or isfunction(value))
        and value.__module__ == module.__name__
        and name not in {"as_id", "as_bool"}
    ] + ["airflow_provider_leadconv.sandbox.Sandbox", "airflow_provider_leadconv.sandbox.Fault"]


def test_every_public_name_is_in_the_reference(site: Path):
    reference = (site / "reference.html").read_text()
    names = public_names()
    assert len(names) > 25
    assert [name for name in names if f'id="{name}"' not in reference] == []


def test_every_error_says_what_to_do(site: Path):
    reference = (site / "reference.html").read_text()
    with_remedy = [value for value in vars(exceptions).values() if isclass(value) and getattr(value, "remedy", "")]
    assert reference.count("<em>What to do:</em>") == len(with_remedy) == 11
