"""One attempt over real sockets: what came back, or whether the request may have reached the server."""

from __future__ import annotations

import json
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Barrier

import pytest

from airflow_provider_leadconv.api.codec import conversion_request
from airflow_provider_leadconv.api.config import Secret
from airflow_provider_leadconv.api.http import USER_AGENT, Response, TransportFailure
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.transports.requests_transport import RequestsTransport
from tests.support.responses import TOKEN, page, row
from tests.support.servers import (
    Server,
    certificate,
    closed_port,
    config,
    hangs_up,
    http_response,
    says,
    silent,
    trickles,
)

SECRET = Secret(TOKEN)
GET = ListQuery(lead_id=4, cursor="eyJsYXN0X2lkIjo2NTA3ODF9%0A").request()
POST = conversion_request(ConversionRequest(5))


def send(url, request=GET, **fields):
    with RequestsTransport(config(url, **fields), USER_AGENT) as transport:
        return transport(request, SECRET)


def head(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


# What is on the wire


def test_a_read_is_on_the_wire_as_it_was_made_the_cursor_byte_for_byte():
    with Server(says(http_response())) as server:
        send(server.url)
    assert server.requests[0].startswith(
        b"GET /v2/lead_conversions?per_page=200&lead_id=4&cursor=eyJsYXN0X2lkIjo2NTA3ODF9%0A HTTP/1.1\r\n"
    )


def test_a_conversion_is_on_the_wire_as_json():
    with Server(says(http_response())) as server:
        send(server.url, POST)
    line, _, body = server.requests[0].partition(b"\r\n")[0], *server.requests[0].partition(b"\r\n\r\n")[1:]
    assert line == b"POST /v2/lead_conversions HTTP/1.1"
    assert head(server.requests[0])["content-type"] == "application/json"
    assert json.loads(body) == {"data": {"lead_id": 5}}


@pytest.mark.parametrize("request_", [GET, POST])
def test_the_headers_the_api_wants_are_always_there(request_):
    with Server(says(http_response())) as server:
        send(server.url, request_)
    headers = head(server.requests[0])
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["user-agent"] == USER_AGENT
    assert headers["accept"] == "application/json"
    assert "cookie" not in headers


def test_a_path_prefix_is_kept():
    with Server(says(http_response())) as server:
        send(server.url + "/sell/")
    assert server.requests[0].startswith(b"GET /sell/v2/lead_conversions?")


def test_a_response_comes_with_status_headers_in_lower_case_and_body_whatever_its_status():
    with Server(says(http_response(b"busy", "X-Request-Id: r-1", "Retry-After: 7", status="503 Busy"))) as server:
        response = send(server.url)
    assert (response.status_code, response.body) == (503, b"busy")
    assert response.headers["x-request-id"] == "r-1"
    assert response.headers["retry-after"] == "7"


def test_a_chunked_body_is_put_together():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    with Server(says(data)) as server:
        assert send(server.url).body == b"{}"


def test_requests_share_a_connection():
    with Server(says(http_response())) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        for request in [GET, POST] * 10:
            assert isinstance(transport(request, SECRET), Response)
    assert server.connections == 1


def test_a_failure_status_does_not_cost_the_connection():
    replies = says(http_response(b"x" * 1000, status="429 Too Many Requests"))
    with Server(replies) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        for _ in range(3):
            assert transport(GET, SECRET).status_code == 429
    assert server.connections == 1


def test_threads_share_a_transport_and_its_connections():
    barrier = Barrier(8)

    def talk(sock, request):
        sock.sendall(http_response(request.split(b"lead_id=")[1].split(b" ")[0]))

    def ask(transport, number):
        barrier.wait(10)
        asked = [ListQuery(lead_id=number * 100 + nth).request() for nth in range(20)]
        return [transport(request, SECRET).body for request in asked]

    with Server(talk) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        for _ in range(2):  # new threads, the same connections
            with ThreadPoolExecutor(8) as pool:
                got = list(pool.map(lambda number: ask(transport, number), range(1, 9)))
            for number, bodies in zip(range(1, 9), got, strict=True):
                assert bodies == [str(number * 100 + nth).encode() for nth in range(20)]
    assert server.connections <= 8


def test_a_closed_transport_holds_no_connection():
    ended = []

    def talk(sock, request):
        sock.sendall(http_response())
        ended.append(sock.recv(1))
        return True

    with Server(talk) as server:
        send(server.url)
        deadline = time.monotonic() + 10
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ended == [b""]


# The token goes to the configured host only


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent"]
)
@pytest.mark.parametrize("request_", [GET, POST])
def test_redirects_are_not_followed(status, request_):
    with Server(says(http_response())) as foreign:
        redirect = http_response(b"", f"Location: {foreign.url}/v2/lead_conversions", status=status)
        with Server(says(redirect)) as server:
            response = send(server.url, request_)
        assert response.status_code == int(status[:3])
        assert (foreign.connections, len(server.requests)) == (0, 1)


@pytest.mark.parametrize("location", ["http://[", "http://", "//", "\x7f", "https://h:port/", "file:///etc/passwd"])
def test_a_redirect_to_nonsense_is_a_response(location):
    with Server(says(http_response(b"", f"Location: {location}", status="307 Temporary Redirect"))) as server:
        assert send(server.url, POST).status_code == 307


def test_cookies_are_not_kept():
    cookie = says(http_response(b"{}", "Set-Cookie: a=1"))
    with Server(cookie) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        transport(GET, SECRET)
        transport(GET, SECRET)
    assert b"Cookie" not in server.requests[1]


def test_a_netrc_does_not_replace_the_token(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Server(says(http_response())) as server:
        send(server.url)
    assert head(server.requests[0])["authorization"] == f"Bearer {TOKEN}"


# Proxies


def test_the_environment_is_asked_once(monkeypatch):
    with Server(says(http_response())) as server, closed_port() as port:
        transport = RequestsTransport(config(server.url), USER_AGENT)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        with transport:
            assert transport(GET, SECRET).status_code == 200


@pytest.mark.parametrize(("status", "misconfigured"), [("407 Proxy Authentication Required", True), ("502 Bad", False)])
def test_a_proxy_that_refuses_a_tunnel_passed_nothing_on(status, misconfigured):
    with Server(says(http_response(b"", status=status), then_close=True)) as proxy:
        missing = send("https://sell.invalid", POST, proxy=proxy.url)
    assert (missing.sent, missing.misconfigured) == (False, misconfigured)
    assert proxy.requests[0].startswith(b"CONNECT sell.invalid:443 ")
    assert TOKEN.encode() not in proxy.requests[0]


# No connection: nothing was sent


def test_a_certificate_nobody_trusts_is_a_wrong_set_up(tmp_path):
    with Server(says(http_response()), certificate(tmp_path, "127.0.0.1")[1]) as server:
        missing = send(server.url, POST)
    assert (missing.sent, missing.misconfigured) == (False, True)
    assert "not trusted: self-signed certificate" in missing.reason
    assert server.requests == []


def test_a_configured_ca_file_goes_before_the_environments(tmp_path, monkeypatch):
    path, context = certificate(tmp_path, "127.0.0.1")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(other, "127.0.0.1")[0]))
    with Server(says(http_response()), context) as server:
        assert send(server.url, verify=str(path)).status_code == 200


# A connection, and no whole response: it may have reached the server

START = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"


def resets(sock, request):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return True


BROKEN = {
    "closed": hangs_up,
    "reset": resets,
    "half a body": says(START, then_close=True),
    "half a chunk": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", then_close=True),
    "a chunk of no size": says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", then_close=True),
    "no HTTP": says(b"SSH-2.0-OpenSSH\r\n", then_close=True),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", then_close=True),
    "too many headers": says(http_response(b"{}", *[f"X-{number}: 1" for number in range(200)])),
    "a header without end": says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, then_close=True),
}


@pytest.mark.parametrize("talk", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_broken_response_leaves_open_whether_the_request_arrived(talk, request_):
    with Server(talk) as server:
        missing = send(server.url, request_)
    assert isinstance(missing, TransportFailure)
    assert (missing.sent, missing.misconfigured) == (True, False)
    assert server.url in missing.reason
    assert len(server.requests) == 1, "the transport repeats nothing"


LATE = {
    "silence": silent,
    "headers that trickle": trickles(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9999),
    "interim responses without end": trickles(b"HTTP/1.1 100 Continue\r\n\r\n" * 99, 0.01),
    "a body that trickles": trickles(START + b" " * 99),
    "chunks that trickle": trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 99),
    "a body that stalls": says(START),
}


@pytest.mark.parametrize("talk", LATE.values(), ids=LATE.keys())
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_response_that_does_not_end_in_time_is_given_up(talk, tls, tmp_path):
    path, context = certificate(tmp_path, "127.0.0.1") if tls else (True, None)
    with Server(talk, context) as server:
        started = time.monotonic()
        missing = send(server.url, POST, timeout=0.4, verify=str(path) if tls else True)
        took = time.monotonic() - started
    assert isinstance(missing, TransportFailure)
    assert (missing.sent, missing.misconfigured) == (True, False)
    assert "within 0.4 s" in missing.reason
    assert took < 4, "the trickle would have gone on"


@pytest.mark.parametrize("said", [b"", START], ids=["silence", "half a body"])
def test_a_request_that_is_given_up_is_not_delivered_any_more(said):
    ends = Queue()

    def talk(sock, request):
        sock.sendall(said)
        try:
            ends.put(sock.recv(1))
        except ConnectionResetError as reset:
            ends.put(type(reset))
        return True

    with Server(talk) as server:
        assert send(server.url, POST, timeout=0.3).sent
        # A reset drops what is on its way; after an orderly close the kernel would go on delivering it.
        assert ends.get(timeout=10) is ConnectionResetError


def test_a_deadline_is_that_of_one_response_not_of_the_connection():
    def talk(sock, request):
        time.sleep(0.2)
        sock.sendall(http_response())

    with Server(talk) as server, RequestsTransport(config(server.url, timeout=0.5), USER_AGENT) as transport:
        for _ in range(4):
            assert isinstance(transport(GET, SECRET), Response)
    assert server.connections == 1


def test_a_lost_connection_does_not_cost_the_next_request():
    gone = []

    def talk(sock, request):
        if not gone:
            gone.append(1)
            return True
        sock.sendall(http_response())
        return False

    with Server(talk) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        assert isinstance(transport(GET, SECRET), TransportFailure)
        assert isinstance(transport(GET, SECRET), Response)


def test_no_token_is_in_the_log_of_an_attempt(caplog):
    caplog.set_level("DEBUG")
    with Server(hangs_up) as server:
        missing = send(server.url, POST)
    with Server(says(http_response(json.dumps(page(row(1))).encode()))) as server:
        send(server.url)
    assert TOKEN not in caplog.text + repr(missing)
