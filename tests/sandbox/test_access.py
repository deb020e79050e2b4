from __future__ import annotations

import http.client
import time

import pytest
import requests

from .conftest import code


def test_user_agent_is_required(start):
    sandbox, _ = start()
    connection = http.client.HTTPConnection("127.0.0.1", sandbox.port, timeout=5)
    connection.request("GET", "/v2/lead_conversions", headers={"Authorization": f"Bearer {sandbox.token}"})
    response = connection.getresponse()
    assert response.status == 400
    assert b"invalid_user_agent" in response.read()
    connection.close()


@pytest.mark.parametrize("authorization", [None, "bearer {}", "Bearer  {}", "Basic {}", "Bearer x", "{}"])
def test_unauthorized(start, authorization):
    sandbox, api = start()
    value = authorization and authorization.format(sandbox.token)
    response = api.session.get(api.url, headers={"Authorization": value})
    assert (response.status_code, code(response)) == (401, "unauthorized")
    assert response.headers["X-Request-Id"] == response.json()["meta"]["logref"]


def test_scopes_and_revoked_tokens(start):
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


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2/leads"), ("PUT", "/v2/lead_conversions"), ("HEAD", "/v2/lead_conversions")],
)
def test_unknown_paths_and_methods(start, method, path):
    sandbox, api = start()
    response = api.session.request(method, sandbox.base_url + path)
    assert response.status_code == 404
    if method != "HEAD":
        assert code(response) == "incorrect_path"
        assert f"'{path}'" in response.json()["errors"][0]["error"]["details"]


@pytest.mark.parametrize("rate_window", ["token_bucket", "fixed", "sliding"])
def test_rate_is_per_token_and_unannounced(start, rate_window):
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


@pytest.mark.parametrize(
    ("shape", "status"), [("throttle_429_empty", 429), ("throttle_404", 404), ("throttle_409", 409)]
)
def test_throttle_shapes(start, shape, status):
    _, api = start(rate=1, throttle_shape=shape, retry_after=3)
    api.get()
    response = api.get()
    assert response.status_code == status
    assert response.headers["Retry-After"] == "3"


def test_log_knows_everything_but_the_token(start):
    sandbox, api = start(conversions=3, latency=0.05)
    begun = time.monotonic()
    api.get(per_page=2)
    api.post(5)
    assert time.monotonic() - begun > 0.1
    listing, conversion = sandbox.requests
    assert (listing.method, listing.path, listing.query) == ("GET", "/v2/lead_conversions", {"per_page": "2"})
    assert (listing.status, listing.fault, listing.headers["user-agent"]) == (200, None, "tests")
    assert (conversion.status, conversion.body) == (404, '{"data": {"lead_id": 5}}')
    assert begun <= listing.time <= conversion.time
    assert listing.client == conversion.client
    assert sandbox.token not in repr(sandbox.requests)


def test_controls(start):
    sandbox, api = start(conversions=2)
    controls = sandbox.base_url + "/_sandbox"
    put = requests.put(f"{controls}/faults", json=["throttle_429,times=1", {"name": "stall", "share": 0}])
    assert put.status_code == 200
    assert [fault.name for fault in sandbox.faults] == ["throttle_429", "stall"]
    assert api.get().status_code == 429
    assert api.get().status_code == 200
    unknown = requests.put(f"{controls}/faults", json=["nonsense"])
    assert unknown.status_code == 422
    assert "throttle_429" in unknown.json()["error"]
    assert requests.put(f"{controls}/settings", json={"post_status": 201}).json()["post_status"] == 201
    assert requests.put(f"{controls}/settings", json={"speed": 1}).status_code == 422
    assert requests.put(f"{controls}/settings", json={"rate": 0}).status_code == 422
    assert [entry["status"] for entry in requests.get(f"{controls}/requests").json()] == [429, 200]
    counts = requests.get(f"{controls}/conversions").json()
    assert counts == {str(lead): 1 for lead in sandbox.conversion_counts}
    assert requests.delete(f"{controls}/requests").json() == sandbox.requests == []
