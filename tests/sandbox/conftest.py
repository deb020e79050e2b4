from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_leadconv.sandbox import Sandbox

NO_RESPONSE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


class Api:
    """A plain client that retries nothing and follows nothing."""

    def __init__(self, sandbox):
        self.url = sandbox.base_url + "/v2/lead_conversions"
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"Authorization": f"Bearer {sandbox.token}", "User-Agent": "tests"})

    def get(self, timeout=5, **params):
        return self.session.get(self.url, params=params, timeout=timeout, allow_redirects=False)

    def post(self, lead_id, timeout=5, **data):
        payload = {"data": {"lead_id": lead_id, **data}}
        return self.session.post(self.url, json=payload, timeout=timeout, allow_redirects=False)


@pytest.fixture
def start():
    """Start sandboxes that are stopped at the end of the test."""
    running = []

    def _start(**options):
        sandbox = Sandbox(**options)
        sandbox.start()
        running.append(sandbox)
        return sandbox, Api(sandbox)

    yield _start
    for sandbox in running:
        sandbox.stop()


def code(response):
    return response.json()["errors"][0]["error"]["code"]


def ids(response):
    return [item["data"]["id"] for item in response.json()["items"]]


def next_link(response):
    return response.json()["meta"]["links"]["next_page"]


def next_cursor(response):
    return parse_qs(urlsplit(next_link(response)).query)["cursor"][0]
