"""What ``claims.py`` says is on the pages, and the tests that it names exist."""

from __future__ import annotations

import re

import pytest

from tests.docs.claims import CLAIMS
from tests.support.snippets import REPO, Page

README = Page("README.md")


@pytest.mark.parametrize(("page", "claim"), [(page, claim) for page, claims in CLAIMS.items() for claim in claims])
def test_a_claim_is_on_its_page(page: str, claim: str):
    assert claim in Page(page).text


@pytest.mark.parametrize(
    "proof", sorted({proof for page in CLAIMS.values() for tests in page.values() for proof in tests})
)
def test_the_test_that_backs_it_exists(proof: str):
    path, _, name = proof.partition("::")
    assert re.search(rf"^ *(async )?def {name}\(", (REPO / path).read_text(), re.MULTILINE)


def test_every_guarantee_of_the_readme_is_backed():
    assert [row[0] for row in README.table("guarantee")] == list(CLAIMS["README.md"])


def test_every_table_of_faults_is_backed():
    tables = re.findall(r"^### (.+)\n(?:(?!^#).*\n)*?\| (?:event|fault) \|", Page("docs/faults.md").text, re.MULTILINE)
    assert tables == list(CLAIMS["docs/faults.md"])
    assert all(len(tests) > 4 for tests in CLAIMS["docs/faults.md"].values())
