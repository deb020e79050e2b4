from __future__ import annotations

import http.client

import pytest

from .conftest import code


def test_missing_user_agent_is_rejected(start):
    sandbox, _ = start()
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
    connection.request("GET", "/v2/lead_conversions", headers={"Authorization": f"Bearer {sandbox.token}"})
    response = connection.getresponse()
    assert response.status == 400
    assert b"invalid_user_agent" in response.read()
    connection.close()


@pytest.mark.parametrize("authorization", [None, "bearer {}", "Bearer  {}", "Basic {}", "Bearer x", "{}"])
def test_missing_or_malformed_token_is_rejected(start, authorization):
    sandbox, api = start()
    value = authorization and authorization.format(sandbox.token)
    response = api.session.get(api.url, headers={"Authorization": value})
    assert (response.status_code, code(response)) == (401, "unauthorized")
    assert response.headers["X-Request-Id"] == response.json()["meta"]["logref"]


def test_token_without_the_scope_or_revoked_is_rejected(start):
    sandbox, api = start()
    sandbox.add_token("w", ["write"])
    api.session.headers["Authorization"] = "Bearer w"
    assert (api.get().status_code, code(api.get())) == (403, "insufficient_scope")
    assert api.post(sandbox.leads[0]).status_code == 200
    sandbox.add_token("r", ["read"])
    api.session.headers["Authorization"] = "Bearer r"
    assert api.get().status_code == 200
    assert api.post(sandbox.leads[0]).status_code == 403
    sandbox.revoke_token("r")
    assert api.get().status_code == 401


@pytest.mark.parametrize("rate_window", ["token_bucket", "fixed", "sliding"])
def test_rate_limit_is_per_token_and_without_headers(start, rate_window):
    sandbox, api = start(rate=5, rate_window=rate_window)
    statuses = [api.get().status_code for _ in range(15)]
    assert 5 <= statuses.count(200) <= 10
    assert set(statuses) == {200, 429}
    refused = next(response for response in (api.get() for _ in range(30)) if response.status_code == 429)
    assert code(refused) == "rate_limit_exceeded"
    assert not [name for name in refused.headers if "rate" in name.lower() or "retry" in name.lower()]
    sandbox.add_token("other")
    api.session.headers["Authorization"] = "Bearer other"
    assert api.get().status_code == 200
