from __future__ import annotations

import asyncio
import socket
import time

import pytest
import requests

from airflow_provider_leadconv.sandbox.control import OwnHostMiddleware


def test_log_has_everything_but_the_token(start):
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


def test_controls_read_and_change_a_running_sandbox(start):
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
    assert requests.put(f"{controls}/settings", json={"rate": 0}).json()["rate"] == 0
    assert requests.put(f"{controls}/settings", json={"speed": 1}).status_code == 422
    assert requests.put(f"{controls}/settings", json={"rate": -1}).status_code == 422
    assert [entry["status"] for entry in requests.get(f"{controls}/requests").json()] == [429, 200]
    counts = requests.get(f"{controls}/conversions").json()
    assert counts == {str(lead): 1 for lead in sandbox.conversion_counts}
    api.post(sandbox.leads[0])
    assert requests.get(f"{controls}/leads").json() == sandbox.leads
    assert len(sandbox.leads) == 99
    requests.delete(f"{controls}/requests")
    assert requests.delete(f"{controls}/requests").json() == sandbox.requests == []


CONTROLS = [
    ("GET", "/_sandbox/faults"),
    ("PUT", "/_sandbox/faults"),
    ("GET", "/_sandbox/settings"),
    ("PUT", "/_sandbox/settings"),
    ("GET", "/_sandbox/requests"),
    ("DELETE", "/_sandbox/requests"),
    ("GET", "/_sandbox/leads"),
    ("GET", "/_sandbox/conversions"),
    ("GET", "/_sandbox/history"),
    ("GET", "/%5fsandbox/conversions"),
    ("GET", "/_sandbox/unknown"),
]


@pytest.mark.parametrize(("method", "path"), CONTROLS)
def test_no_control_is_served_under_a_name_that_is_not_the_sandbox(start, method, path):
    sandbox, api = start(conversions=2)
    api.get()
    before = sandbox.faults, sandbox.settings, sandbox.requests
    response = requests.request(
        method, sandbox.base_url + path, json=["stall"], headers={"Host": f"attacker.example:{sandbox.port}"}
    )
    assert response.status_code == 403
    assert response.json() == {"error": f"The Host header of a request to /_sandbox must be 127.0.0.1:{sandbox.port}."}
    assert (sandbox.faults, sandbox.settings, sandbox.requests) == before


@pytest.mark.parametrize("host", ["127.0.0.1:{}", "localhost:{}", "LOCALHOST:{}", "[::1]:{}"])
def test_controls_are_served_under_the_names_of_loopback(start, host):
    sandbox, _ = start()
    headers = {"Host": host.format(sandbox.port)}
    assert requests.get(sandbox.base_url + "/_sandbox/faults", headers=headers).json() == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "localhost:1",
        "localhost:{}0",
        "localhost.:{}",
        "localhost.attacker.example:{}",
        "127.0.0.1.attacker.example:{}",
        "user@localhost:{}",
        "10.0.0.1:{}",
        "0.0.0.0:{}",
        ":{}",
    ],
)
def test_other_hosts_and_ports_are_refused(start, host):
    sandbox, _ = start()
    headers = {"Host": host.format(sandbox.port)}
    assert requests.get(sandbox.base_url + "/_sandbox/faults", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /_sandbox/faults HTTP/1.0\r\n", 403),
        ("GET /_sandbox/faults HTTP/1.1\r\n", 400),
        ("GET /_sandbox/faults HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nHost: attacker.example\r\n", 400),
        ("GET http://127.0.0.1:{}/_sandbox/faults HTTP/1.1\r\nHost: attacker.example\r\n", 404),
        ("GET /_sandbox/faults HTTP/1.0\r\nX-Forwarded-Host: 127.0.0.1:{}\r\nHost: attacker.example\r\n", 403),
    ],
)
def test_a_missing_or_ambiguous_host_is_refused(start, head, status):
    sandbox, _ = start()
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as connection:
        connection.sendall(head.format(sandbox.port).encode() + b"Connection: close\r\n\r\n")
        assert int(connection.recv(4096).split()[1]) == status


def test_the_api_itself_is_served_under_every_name(start):
    """As behind a proxy or in a container, where its token protects it."""
    _, api = start(conversions=2)
    api.session.headers["Host"] = "api.getbase.com"
    assert api.get().status_code == 200


@pytest.mark.parametrize(("port", "host", "served"), [(80, "localhost", True), (8377, "localhost", False)])
def test_a_host_without_port_names_port_80(port, host, served):
    reached = []

    async def app(scope, receive, send):
        reached.append(scope["path"])

    async def send(message):
        pass

    scope = {
        "type": "http",
        "path": "/_sandbox/faults",
        "headers": [(b"host", host.encode())],
        "server": ("127.0.0.1", port),
    }
    asyncio.run(OwnHostMiddleware(app)(scope, None, send))
    assert bool(reached) is served
