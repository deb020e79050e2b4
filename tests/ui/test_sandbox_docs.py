"""The sandbox's page ``/docs`` in a browser that reaches no other host."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.ui


def test_requests_are_sent_from_the_page(browser, sandbox):
    browser.open(f"{sandbox.base_url}/docs")
    browser.find("h2", "GET /v2/lead_conversions")
    browser.type(browser.find("#token"), sandbox.token)
    browser.type(browser.find("input[name=per_page]"), "3")
    browser.click("form[data-method=GET] button", "Send")
    shown = browser.find("form[data-method=GET] output pre").text
    assert shown.startswith("200 OK")
    assert all(f'"id": {row["id"]}' in shown for row in sandbox.conversions[:3])

    lead = sandbox.leads[0]
    browser.type(browser.find("textarea[name=body]"), f'{{"data": {{"lead_id": {lead}}}}}')
    browser.click("form[data-method=POST] button", "Send")
    assert f'"lead_id": {lead}' in browser.find("form[data-method=POST] output pre").text
    assert sandbox.conversion_counts[lead] == 1
    assert [(request.method, request.status) for request in sandbox.requests if "/v2/" in request.path] == [
        ("GET", 200),
        ("POST", 200),
    ]
