from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import requests

LOADS = {"action", "background", "cite", "data", "formaction", "href", "ping", "poster", "src", "srcset"}
"""Attributes whose value is a URL that a browser may open."""


class Urls(HTMLParser):
    """The URLs of a page, and the names of its fields and its visible text."""

    def __init__(self):
        super().__init__()
        self.urls, self.fields, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.urls += [value for name, value in attrs if name in LOADS]
        self.fields += [value for name, value in attrs if name == "name"]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def page(start):
    sandbox, _ = start(path_prefix="/sell")
    response = requests.get(f"http://127.0.0.1:{sandbox.port}/docs")
    assert response.headers["Content-Type"].startswith("text/html")
    return response


def test_the_page_names_no_other_host_and_the_browser_may_ask_none(page):
    parsed = Urls()
    parsed.feed(page.text)
    assert parsed.urls == ["/openapi.json"]
    assert not re.search(r"url\(|@import|import\s*\(", page.text)
    policy = dict(each.split(" ", 1) for each in page.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("script-src").startswith("'sha256-")
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy.pop("connect-src") == "'self'"
    assert set(policy.values()) == {"'none'"}
    assert "default-src" in policy


def test_the_page_has_what_the_document_has(start, page):
    parsed = Urls()
    parsed.feed(page.text)
    document = requests.get(page.url.replace("/docs", "/openapi.json")).json()
    (operations,) = document["paths"].values()
    parameters = [each["name"] for each in operations["get"]["parameters"]]
    assert parsed.fields == [*parameters, "body"]
    for method, operation in operations.items():
        assert f"{method.upper()} /sell/v2/lead_conversions" in parsed.text
        assert operation["summary"] in parsed.text
        assert all(
            response["description"].replace("`", "") in parsed.text for response in operation["responses"].values()
        )
    assert "integer, 1 to 200, default 25" in parsed.text
    assert all(name in parsed.text for name in [*document["components"]["schemas"], "owner_id", "create_deal"])
