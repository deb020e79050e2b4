"""One attempt over real sockets: what came back, or whether the request may have reached the server."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import time
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from threading import Barrier

import pytest
from servers import Server, certificate, closed_port, config, hangs_up, response, says, silent, trickles
from simulated import TOKEN, page, row

from airflow_provider_leadconv.api.errors import ConnectionConfigError, UnknownOutcomeError
from airflow_provider_leadconv.api.messages import USER_AGENT, Answer, NoAnswer
from airflow_provider_leadconv.api.records import ConversionRequest
from airflow_provider_leadconv.api.transport import MAX_BODY, RequestsTransport
from airflow_provider_leadconv.api.wire import ListQuery, conversion_request, read_conversion

GET = ListQuery(lead_id=4, cursor="eyJsYXN0X2lkIjo2NTA3ODF9%0A").request()
POST = conversion_request(ConversionRequest(5))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def send(url, request=GET, **fields):
    with RequestsTransport(config(url, **fields), USER_AGENT) as transport:
        return transport(request, TOKEN)


def head(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


# What is on the wire


def test_a_read_is_on_the_wire_as_it_was_made_the_cursor_byte_for_byte():
    with Server(says(response())) as server:
        send(server.url)
    assert server.requests[0].startswith(
        b"GET /v2/lead_conversions?per_page=200&lead_id=4&cursor=eyJsYXN0X2lkIjo2NTA3ODF9%0A HTTP/1.1\r\n"
    )


def test_a_conversion_is_on_the_wire_as_json():
    with Server(says(response())) as server:
        send(server.url, POST)
    line, _, body = server.requests[0].partition(b"\r\n")[0], *server.requests[0].partition(b"\r\n\r\n")[1:]
    assert line == b"POST /v2/lead_conversions HTTP/1.1"
    assert head(server.requests[0])["content-type"] == "application/json"
    assert json.loads(body) == {"data": {"lead_id": 5}}


@pytest.mark.parametrize("request_", [GET, POST])
def test_the_headers_the_api_wants_are_always_there(request_):
    with Server(says(response())) as server:
        send(server.url, request_)
    headers = head(server.requests[0])
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert headers["user-agent"] == USER_AGENT
    assert headers["accept"] == "application/json"
    assert "cookie" not in headers


def test_a_path_prefix_is_kept():
    with Server(says(response())) as server:
        send(server.url + "/sell/")
    assert server.requests[0].startswith(b"GET /sell/v2/lead_conversions?")


def test_an_answer_comes_with_status_headers_in_lower_case_and_body_whatever_its_status():
    with Server(says(response(b"busy", "X-Request-Id: r-1", "Retry-After: 7", status="503 Busy"))) as server:
        answer = send(server.url)
    assert (answer.status, answer.body) == (503, b"busy")
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_unpacked(encoding, compress):
    with Server(says(response(compress(b'{"a":1}'), f"Content-Encoding: {encoding}"))) as server:
        assert send(server.url).body == b'{"a":1}'


def test_a_chunked_body_is_put_together():
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"
    with Server(says(data)) as server:
        assert send(server.url).body == b"{}"


def test_requests_share_a_connection():
    with Server(says(response())) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        for request in [GET, POST] * 10:
            assert isinstance(transport(request, TOKEN), Answer)
    assert server.connections == 1


def test_a_failure_status_does_not_cost_the_connection():
    replies = says(response(b"x" * 1000, status="429 Too Many Requests"))
    with Server(replies) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        for _ in range(3):
            assert transport(GET, TOKEN).status == 429
    assert server.connections == 1


def test_threads_share_a_transport_and_its_connections():
    barrier = Barrier(8)

    def talk(sock, request):
        sock.sendall(response(request.split(b"lead_id=")[1].split(b" ")[0]))

    def ask(transport, number):
        barrier.wait(10)
        asked = [ListQuery(lead_id=number * 100 + nth).request() for nth in range(20)]
        return [transport(request, TOKEN).body for request in asked]

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
        sock.sendall(response())
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
    with Server(says(response())) as foreign:
        redirect = response(b"", f"Location: {foreign.url}/v2/lead_conversions", status=status)
        with Server(says(redirect)) as server:
            answer = send(server.url, request_)
        assert answer.status == int(status[:3])
        assert (foreign.connections, len(server.requests)) == (0, 1)


@pytest.mark.parametrize("location", ["http://[", "http://", "//", "\x7f", "https://h:port/", "file:///etc/passwd"])
def test_a_redirect_to_nonsense_is_an_answer(location):
    with Server(says(response(b"", f"Location: {location}", status="307 Temporary Redirect"))) as server:
        assert send(server.url, POST).status == 307


def test_cookies_are_not_kept():
    cookie = says(response(b"{}", "Set-Cookie: a=1"))
    with Server(cookie) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        transport(GET, TOKEN)
        transport(GET, TOKEN)
    assert b"Cookie" not in server.requests[1]


def test_a_netrc_does_not_replace_the_token(tmp_path, monkeypatch):
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with Server(says(response())) as server:
        send(server.url)
    assert head(server.requests[0])["authorization"] == f"Bearer {TOKEN}"


# Proxies


@pytest.mark.parametrize("how", ["configured", "environment"])
def test_a_proxy_is_used(how, monkeypatch):
    with Server(says(response(b'{"by":"proxy"}'))) as proxy:
        if how == "environment":
            monkeypatch.setenv("http_proxy", proxy.url)
        answer = send("http://sell.invalid", allow_http=True, proxy=proxy.url if how == "configured" else None)
    assert answer.body == b'{"by":"proxy"}'
    assert proxy.requests[0].startswith(b"GET http://sell.invalid/v2/lead_conversions?")
    assert b"cursor=eyJsYXN0X2lkIjo2NTA3ODF9%0A" in proxy.requests[0]


def test_the_configured_proxy_goes_before_the_environments(monkeypatch):
    with Server(says(response())) as proxy, closed_port() as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{port}")
        assert send("http://sell.invalid", allow_http=True, proxy=proxy.url).status == 200


def test_no_proxy_of_the_environment_is_honoured(monkeypatch):
    with Server(says(response())) as server, closed_port() as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert send(server.url).status == 200


def test_the_environment_is_asked_once(monkeypatch):
    with Server(says(response())) as server, closed_port() as port:
        transport = RequestsTransport(config(server.url), USER_AGENT)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        with transport:
            assert transport(GET, TOKEN).status == 200


def test_an_unreachable_proxy_was_sent_nothing():
    with closed_port() as port:
        missing = send("https://sell.invalid", POST, proxy=f"http://127.0.0.1:{port}")
    assert (missing.sent, missing.misconfigured) == (False, False)
    assert "through the proxy" in missing.reason


@pytest.mark.parametrize(("status", "misconfigured"), [("407 Proxy Authentication Required", True), ("502 Bad", False)])
def test_a_proxy_that_refuses_a_tunnel_passed_nothing_on(status, misconfigured):
    with Server(says(response(b"", status=status), then_close=True)) as proxy:
        missing = send("https://sell.invalid", POST, proxy=proxy.url)
    assert (missing.sent, missing.misconfigured) == (False, misconfigured)
    assert proxy.requests[0].startswith(b"CONNECT sell.invalid:443 ")
    assert TOKEN.encode() not in proxy.requests[0]


def test_a_proxy_that_does_not_answer_passed_nothing_on():
    with Server(silent) as proxy:
        missing = send("https://sell.invalid", POST, proxy=proxy.url, timeout=0.3)
    assert (missing.sent, missing.misconfigured) == (False, False)


def test_a_proxy_requests_cannot_use_is_a_wrong_set_up(monkeypatch):
    monkeypatch.setenv("all_proxy", "gopher://127.0.0.1:1")
    missing = send("https://sell.invalid", POST)
    assert (missing.sent, missing.misconfigured) == (False, True)


# No connection: nothing was sent


def test_a_refused_connection_was_sent_nothing():
    with closed_port() as port:
        missing = send(f"http://127.0.0.1:{port}", POST)
    assert (missing.sent, missing.misconfigured) == (False, False)
    assert "refused" in missing.reason


def test_a_host_nobody_knows_was_sent_nothing():
    missing = send("https://no-such-host.invalid", POST)
    assert (missing.sent, missing.misconfigured) == (False, False)
    assert "no-such-host.invalid" in missing.reason


def test_a_connection_that_does_not_come_was_sent_nothing():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.socket() as queued, socket.socket() as waiting:
            for sock in (queued, waiting):
                sock.setblocking(False)
                sock.connect_ex(full.getsockname())
            missing = send(f"http://127.0.0.1:{full.getsockname()[1]}", POST, timeout=0.3)
    assert (missing.sent, missing.misconfigured) == (False, False)
    assert "timed out" in missing.reason


@pytest.mark.parametrize("url", ["https://.example.com", "https://*.example.com", "https://exa mple.com"])
def test_a_host_that_is_no_name_is_a_wrong_set_up(url):
    missing = send(url, POST)
    assert (missing.sent, missing.misconfigured) == (False, True)


def test_a_certificate_nobody_trusts_is_a_wrong_set_up(tmp_path):
    with Server(says(response()), certificate(tmp_path, "127.0.0.1")[1]) as server:
        missing = send(server.url, POST)
    assert (missing.sent, missing.misconfigured) == (False, True)
    assert "not trusted: self-signed certificate" in missing.reason
    assert server.requests == []


def test_a_certificate_of_another_host_is_a_wrong_set_up(tmp_path):
    path, context = certificate(tmp_path, "api.getbase.com")
    with Server(says(response()), context) as server:
        missing = send(server.url, POST, verify=str(path))
    assert (missing.sent, missing.misconfigured) == (False, True)
    assert "IP address mismatch" in missing.reason


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("how", ["CA file", "no check", "environment"])
def test_a_certificate_can_be_trusted(how, tmp_path, monkeypatch):
    path, context = certificate(tmp_path, "127.0.0.1")
    if how == "environment":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
    verify = {"CA file": str(path), "no check": False, "environment": True}[how]
    with Server(says(response()), context) as server:
        assert send(server.url, verify=verify).status == 200


def test_a_configured_ca_file_goes_before_the_environments(tmp_path, monkeypatch):
    path, context = certificate(tmp_path, "127.0.0.1")
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(other, "127.0.0.1")[0]))
    with Server(says(response()), context) as server:
        assert send(server.url, verify=str(path)).status == 200


def test_a_ca_file_of_the_environment_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/ca.pem")
    with pytest.raises(ConnectionConfigError, match=r"/no/such/ca\.pem"):
        send("https://127.0.0.1:1")


def test_a_ca_file_without_certificates_is_a_wrong_set_up(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    with Server(says(response()), certificate(tmp_path, "127.0.0.1")[1]) as server:
        missing = send(server.url, POST, verify=str(tmp_path / "ca.pem"))
    assert (missing.sent, missing.misconfigured) == (False, True)


def test_tls_to_a_host_that_speaks_none_is_a_wrong_set_up():
    def answer_nonsense():
        with plain.accept()[0] as sock:
            sock.recv(65536)
            sock.sendall(response(status="400 Bad Request"))

    with socket.create_server(("127.0.0.1", 0)) as plain, ThreadPoolExecutor(1) as pool:
        pool.submit(answer_nonsense)
        missing = send(f"https://127.0.0.1:{plain.getsockname()[1]}", POST)
    assert (missing.sent, missing.misconfigured) == (False, True)


def test_a_handshake_that_does_not_end_was_sent_nothing():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        missing = send(f"https://127.0.0.1:{mute.getsockname()[1]}", POST, timeout=0.3)
    assert (missing.sent, missing.misconfigured) == (False, False)


def test_a_handshake_that_is_broken_off_was_sent_nothing_and_may_pass():
    with socket.create_server(("127.0.0.1", 0)) as rude, ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: rude.accept()[0].close())
        missing = send(f"https://127.0.0.1:{rude.getsockname()[1]}", POST)
    assert (missing.sent, missing.misconfigured) == (False, False)


# A connection, and no whole answer: it may have reached the server

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
    "gzip that is none": says(response(b"plain text", "Content-Encoding: gzip")),
    "two lengths": says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", then_close=True),
    "too many headers": says(response(b"{}", *[f"X-{number}: 1" for number in range(200)])),
    "a header without end": says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, then_close=True),
}


@pytest.mark.parametrize("talk", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("request_", [GET, POST], ids=["GET", "POST"])
def test_a_broken_answer_leaves_open_whether_the_request_arrived(talk, request_):
    with Server(talk) as server:
        missing = send(server.url, request_)
    assert isinstance(missing, NoAnswer)
    assert (missing.sent, missing.misconfigured) == (True, False)
    assert server.url in missing.reason
    assert len(server.requests) == 1, "the transport repeats nothing"


@pytest.mark.parametrize("cut", [b"HTTP/1.1 200 OK\r\nConte", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_an_answer_cut_off_in_its_headers_proves_no_conversion(cut):
    with Server(says(cut, then_close=True)) as server:
        answer = send(server.url, POST)
    with pytest.raises(UnknownOutcomeError):
        read_conversion(answer, ConversionRequest(5))


LATE = {
    "silence": silent,
    "headers that trickle": trickles(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9999),
    "interim answers without end": trickles(b"HTTP/1.1 100 Continue\r\n\r\n" * 99, 0.01),
    "a body that trickles": trickles(START + b" " * 99),
    "chunks that trickle": trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 99),
    "a body that stalls": says(START),
}


@pytest.mark.parametrize("talk", LATE.values(), ids=LATE.keys())
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_an_answer_that_does_not_end_in_time_is_given_up(talk, tls, tmp_path):
    path, context = certificate(tmp_path, "127.0.0.1") if tls else (True, None)
    with Server(talk, context) as server:
        started = time.monotonic()
        missing = send(server.url, POST, timeout=0.4, verify=str(path) if tls else True)
        took = time.monotonic() - started
    assert isinstance(missing, NoAnswer)
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


def test_a_deadline_is_that_of_one_answer_not_of_the_connection():
    def talk(sock, request):
        time.sleep(0.2)
        sock.sendall(response())

    with Server(talk) as server, RequestsTransport(config(server.url, timeout=0.5), USER_AGENT) as transport:
        for _ in range(4):
            assert isinstance(transport(GET, TOKEN), Answer)
    assert server.connections == 1


def test_a_lost_connection_does_not_cost_the_next_request():
    gone = []

    def talk(sock, request):
        if not gone:
            gone.append(1)
            return True
        sock.sendall(response())
        return False

    with Server(talk) as server, RequestsTransport(config(server.url), USER_AGENT) as transport:
        assert isinstance(transport(GET, TOKEN), NoAnswer)
        assert isinstance(transport(GET, TOKEN), Answer)


# Size


def endless(sock, request):
    sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while True:
        sock.sendall(b" " * 65536)


def redirect_without_end(sock, request):
    sock.sendall(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n")
    while True:
        sock.sendall(b" " * 65536)


BOMB = gzip.compress(b" " * (200 * 1024 * 1024), 1)
HUGE = {
    "a body without end": endless,
    "a redirect's body without end": redirect_without_end,
    "a gzip bomb": says(response(BOMB, "Content-Encoding: gzip")),
    "a gzip bomb in gzip": says(response(gzip.compress(BOMB), "Content-Encoding: gzip, gzip")),
}


@pytest.mark.parametrize("talk", HUGE.values(), ids=HUGE.keys())
def test_a_body_is_read_up_to_a_bound(talk):
    with Server(talk) as server:
        tracemalloc.start()
        try:
            answer = send(server.url, timeout=30.0)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert MAX_BODY < len(answer.body) < MAX_BODY + 1024 * 1024
    assert peak < 4 * MAX_BODY


def test_no_token_is_in_the_log_of_an_attempt(caplog):
    caplog.set_level("DEBUG")
    with Server(hangs_up) as server:
        missing = send(server.url, POST)
    with Server(says(response(json.dumps(page(row(1))).encode()))) as server:
        send(server.url)
    assert TOKEN not in caplog.text + repr(missing)
