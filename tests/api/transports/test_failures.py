"""Every failure, through both transports and on real sockets: the same kind and the same words."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.exceptions import ConnectionConfigError
from airflow_provider_leadconv.api.http import Response, TransportFailure
from tests.support.servers import (
    Server,
    Talk,
    certificate,
    closed_port,
    config,
    hangs_up,
    http_response,
    says,
    silent,
    trickles,
)
from tests.support.transports import TRANSPORTS

START = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"


class Outcome(NamedTuple):
    """The result of an attempt; :param kind: a value of KINDS."""

    kind: str
    reason: str
    remedy: str | None = None


KINDS = {
    (False, False): "not sent",
    (False, True): "misconfigured",
    (True, False): "unknown",
}


def outcome(send: Callable[[ClientConfig], Response | TransportFailure], settings: ClientConfig) -> Outcome:
    try:
        came = send(settings)
    except ConnectionConfigError as error:
        return Outcome("misconfigured", error.message, error.remedy)
    if isinstance(came, Response):
        return Outcome("response", f"{came.status_code} {came.body.decode()}")
    return Outcome(KINDS[came.sent, came.misconfigured], came.reason, came.remedy)


HOST_OR_DNS = "Check the host of the connection, and the DNS settings of this machine."
PROXY = '"proxy" in the extra of the connection, or HTTPS_PROXY in the environment'
FIREWALL = "Check the network and the firewalls between this machine and the host."
SLOW = f'{FIREWALL} If it is only slow, raise "timeout" in the extra of the connection.'
HANDSHAKE = "Check the TLS settings of the server, and of a proxy in between."
UNTRUSTED = 'Name the file of the CA that issued it as "verify" in the extra of the connection.'
TUNNEL = "Check that the proxy permits connections to this host."

Situation = Callable[[Path], contextlib.AbstractContextManager[ClientConfig]]
SITUATIONS: dict[str, tuple[Situation, str, str, str | None]] = {}
"""Name -> what to set up, the kind of failure, its message, with ``{url}`` for where the request was sent, and what to
do about it."""


def situation(kind: str, reason: str, remedy: str | None) -> Callable[[Callable[[Path], Iterator[ClientConfig]]], None]:
    def add(set_up: Callable[[Path], Iterator[ClientConfig]]) -> None:
        SITUATIONS[set_up.__name__] = contextlib.contextmanager(set_up), kind, reason, remedy

    return add


def served(
    name: str,
    talk: Talk,
    kind: str,
    reason: str,
    *,
    remedy: str | None = None,
    tls: bool = False,
    **fields: object,
) -> None:
    """Add a server that misbehaves."""

    @contextlib.contextmanager
    def set_up(folder: Path) -> Iterator[ClientConfig]:
        path, context = certificate(folder, "127.0.0.1") if tls else (True, None)
        with Server(talk, context) as server:
            yield config(server.url, **{"verify": str(path) if tls else True, **fields})

    SITUATIONS[name] = set_up, kind, reason, remedy


def proxied(name: str, talk: Talk, kind: str, reason: str, remedy: str, *, tls: bool = False, **fields: object) -> None:
    """Add a proxy that misbehaves."""

    @contextlib.contextmanager
    def set_up(folder: Path) -> Iterator[ClientConfig]:
        with Server(talk, certificate(folder, "127.0.0.1")[1] if tls else None) as proxy:
            yield config("https://sell.invalid", proxy=proxy.url.replace("://", "://user:secret@"), **fields)

    SITUATIONS[name] = set_up, kind, reason, remedy


# No connection


@situation(
    "not sent",
    "no connection to {url}: Connection refused",
    "Check the host of the connection: nothing listens on this port.",
)
def refused_port(folder: Path) -> Iterator[ClientConfig]:
    with closed_port() as port:
        yield config(f"http://127.0.0.1:{port}")


@situation(
    "not sent",
    "no connection to {url}: Connection refused",
    "Check the host of the connection: nothing listens on this port.",
)
def refused_port_of_two_addresses(folder: Path) -> Iterator[ClientConfig]:
    with closed_port() as port:
        yield config(f"http://localhost:{port}")


@situation("not sent", "no connection to {url}: cannot resolve the host name: *", HOST_OR_DNS)
def unknown_host(folder: Path) -> Iterator[ClientConfig]:
    yield config("https://no-such-host.invalid")


@situation("not sent", "no connection to {url}: timed out", SLOW)
def full_backlog(folder: Path) -> Iterator[ClientConfig]:
    with socket.socket() as full, socket.socket() as queued, socket.socket() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for sock in (queued, waiting):
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield config(f"http://127.0.0.1:{full.getsockname()[1]}", timeout=0.3)


# TLS


@situation("misconfigured", "the certificate of {url} is not trusted: self-signed certificate", UNTRUSTED)
def untrusted_certificate(folder: Path) -> Iterator[ClientConfig]:
    with Server(says(http_response()), certificate(folder, "127.0.0.1")[1]) as server:
        yield config(server.url)


@situation(
    "misconfigured",
    "the certificate of {url} is not trusted: IP address mismatch, *",
    "Correct the host of the connection: the certificate was issued for another one.",
)
def certificate_of_another_host(folder: Path) -> Iterator[ClientConfig]:
    path, context = certificate(folder, "api.getbase.com")
    with Server(says(http_response()), context) as server:
        yield config(server.url, verify=str(path))


@situation(
    "misconfigured",
    "the certificate of {url} is not trusted: certificate has expired",
    "Have the server's certificate renewed, or correct the clock of this machine.",
)
def expired_certificate(folder: Path) -> Iterator[ClientConfig]:
    path, context = certificate(folder, "127.0.0.1", days=-1)
    with Server(says(http_response()), context) as server:
        yield config(server.url, verify=str(path))


@situation(
    "misconfigured",
    "no connection to {url}: the server speaks http, not https",
    "Correct the host of the connection: the port is not one for https, or the URL must begin with http://",
)
def plain_http_behind_https(folder: Path) -> Iterator[ClientConfig]:
    with raw_server(lambda sock: (sock.recv(65536), sock.sendall(http_response(status="400 Bad Request")))) as port:
        yield config(f"https://127.0.0.1:{port}")


@situation(
    "misconfigured",
    "the CA file cannot be used: {folder}/ca.pem: no certificate or crl found",
    'Correct "verify" in the extra of the connection, or REQUESTS_CA_BUNDLE in the environment.',
)
def ca_file_without_certificates(folder: Path) -> Iterator[ClientConfig]:
    (folder / "ca.pem").write_text("nothing")
    yield config("https://127.0.0.1:1", verify=str(folder / "ca.pem"))


@situation("not sent", "no connection to {url}: timed out", SLOW)
def handshake_that_does_not_end(folder: Path) -> Iterator[ClientConfig]:
    with raw_server(lambda sock: time.sleep(2)) as port:
        yield config(f"https://127.0.0.1:{port}", timeout=0.3)


@situation("not sent", "no connection to {url}: the connection was closed", FIREWALL)
def handshake_that_is_closed(folder: Path) -> Iterator[ClientConfig]:
    with raw_server(lambda sock: sock.recv(65536)) as port:
        yield config(f"https://127.0.0.1:{port}")


@situation("not sent", "no connection to {url}: the connection was closed", FIREWALL)
def handshake_that_is_reset(folder: Path) -> Iterator[ClientConfig]:
    with raw_server(lambda sock: (sock.recv(65536), resets(sock, b""))) as port:
        yield config(f"https://127.0.0.1:{port}")


@situation(
    "not sent",
    "no connection to {url}: the TLS handshake failed: *protocol version",
    "Enable TLS 1.2 or later on the server, or on the proxy in between.",
)
def handshake_with_an_old_version(folder: Path) -> Iterator[ClientConfig]:
    alert = b"\x15\x03\x01\x00\x02\x02\x46"  # fatal, protocol version
    with raw_server(lambda sock: (sock.recv(65536), sock.sendall(alert))) as port:
        yield config(f"https://127.0.0.1:{port}")


@situation("not sent", "no connection to {url}: the TLS handshake failed: *handshake failure", HANDSHAKE)
def handshake_without_a_common_cipher(folder: Path) -> Iterator[ClientConfig]:
    path, context = certificate(folder, "127.0.0.1")
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")  # which the certificate's key does not fit
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Server(says(http_response()), context) as server:
        yield config(server.url, verify=str(path))


@contextlib.contextmanager
def raw_server(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server that accepts a connection and reads no request."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                sock = server.accept()[0]
                with sock, contextlib.suppress(OSError):
                    talk(sock)

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def resets(sock: socket.socket, request: bytes) -> bool:
    """Close with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return True


# Proxies


VIA = "no connection to https://sell.invalid through the proxy {proxy}: "
proxied(
    "proxy_wants_a_password",
    says(http_response(b"", status="407 Proxy Authentication Required"), then_close=True),
    "misconfigured",
    VIA + "the proxy answered 407: it requires a user and a password",
    f"Put both into {PROXY}: http://user:password@host:port",
)
proxied(
    "proxy_cannot_reach_the_host",
    says(http_response(b"", status="502 Bad Gateway for user:secret"), then_close=True),
    "not sent",
    VIA + "the proxy answered 502",
    TUNNEL,
)
proxied("proxy_that_hangs_up", hangs_up, "not sent", VIA + "the connection was closed", TUNNEL)
proxied("proxy_that_is_silent", silent, "not sent", VIA + "timed out", SLOW, timeout=0.3)
proxied(
    "proxy_that_is_no_proxy",
    says(b"SSH-2.0-OpenSSH\r\n", then_close=True),
    "not sent",
    VIA + "the connection was closed",
    TUNNEL,
)
proxied(
    "tunnel_that_is_closed",
    says(b"HTTP/1.1 200 OK\r\n\r\n", then_close=True),
    "not sent",
    VIA + "the connection was closed",
    TUNNEL,
)
proxied(
    "untrusted_certificate_of_the_proxy",
    silent,
    "misconfigured",
    "the certificate of https://sell.invalid or of the proxy {proxy} is not trusted: self-signed certificate",
    UNTRUSTED,
    tls=True,
)


@situation("misconfigured", VIA + "the proxy speaks http, not https", f"Write http:// instead of https:// in {PROXY}.")
def proxy_that_speaks_http(folder: Path) -> Iterator[ClientConfig]:
    with raw_server(lambda sock: (sock.recv(65536), sock.sendall(http_response(status="400 Bad Request")))) as port:
        yield config("https://sell.invalid", proxy=f"https://user:secret@127.0.0.1:{port}")


@situation("not sent", VIA + "Connection refused", f"Check {PROXY}: nothing listens on this port.")
def proxy_refused(folder: Path) -> Iterator[ClientConfig]:
    with closed_port() as port:
        yield config("https://sell.invalid", proxy=f"http://user:secret@127.0.0.1:{port}/")


@situation(
    "not sent",
    VIA + "cannot resolve the host name: *",
    f"Check {PROXY}, and the DNS settings of this machine.",
)
def proxy_unknown(folder: Path) -> Iterator[ClientConfig]:
    yield config("https://sell.invalid", proxy="http://user:secret@no-such-host.invalid:3128")


# A connection, and no complete response

CUT = "the connection to {url} was closed or corrupted before the response was complete"
LATE = "no complete response from {url} within 0.4 s"
RAISE = 'Run the task again later, or raise "timeout" in the extra of the connection.'

served("closed_before_the_response", hangs_up, "unknown", CUT)
served("reset_before_the_response", resets, "unknown", CUT)
served("closed_in_the_headers", says(b"HTTP/1.1 200 OK\r\nConte", then_close=True), "unknown", CUT)
served("closed_after_the_status", says(b"HTTP/1.1 200 OK\r\n", then_close=True), "unknown", CUT)
served("closed_in_the_body", says(START, then_close=True), "unknown", CUT)
served("closed_in_the_body_with_tls", says(START, then_close=True), "unknown", CUT, tls=True)
served(
    "closed_in_a_chunk",
    says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", then_close=True),
    "unknown",
    CUT,
)
served(
    "chunk_without_a_size",
    says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", then_close=True),
    "unknown",
    CUT,
)
served("no_http", says(b"SSH-2.0-OpenSSH\r\n", then_close=True), "unknown", CUT)
served("early_hints_and_nothing_else", says(b"HTTP/1.1 103 Early Hints\r\n\r\n", then_close=True), "unknown", CUT)
served("silence", silent, "unknown", LATE, remedy=RAISE, timeout=0.4)
served("silence_with_tls", silent, "unknown", LATE, remedy=RAISE, timeout=0.4, tls=True)
served("trickled_headers", trickles(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 999), "unknown", LATE, remedy=RAISE, timeout=0.4)
served("trickled_body", trickles(START + b" " * 99), "unknown", LATE, remedy=RAISE, timeout=0.4)
served(
    "interim_responses_without_end",
    trickles(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99, 0.01),
    "unknown",
    LATE,
    remedy=RAISE,
    timeout=0.4,
)
served("stalled_body", says(START), "unknown", LATE, remedy=RAISE, timeout=0.4)

# A response

served(
    "early_hints_before_the_response",
    says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2 + http_response(b"body")),
    "response",
    "200 body",
)
served(
    "continue_before_the_response",
    says(b"HTTP/1.1 100 Continue\r\n\r\n" + http_response(b"body")),
    "response",
    "200 body",
)


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
@pytest.mark.parametrize("name", SITUATIONS)
def test_both_transports_make_the_same_of_a_failure(name, send, tmp_path):
    set_up, kind, reason, remedy = SITUATIONS[name]
    with set_up(tmp_path) as settings:
        started = time.monotonic()
        came = outcome(send, settings)
        assert time.monotonic() - started < settings.timeout + 2
    proxy = Secret.wrap(settings.proxy or "").reveal().replace("user:secret@", "").rstrip("/")
    wanted = reason.format(url=settings.base_url, folder=tmp_path, proxy=proxy)
    assert (came.kind, came.remedy) == (kind, remedy), came.reason
    before, star, after = wanted.partition("*")
    assert came.reason.startswith(before)
    assert came.reason.endswith(after)
    assert star or came.reason == wanted
    assert "secret" not in came.reason


BAD_PROXIES = {
    "socks5://user:secret@127.0.0.1:1": "SOCKS proxies are not supported",
    "SOCKS5h://user:secret@127.0.0.1:1": "SOCKS proxies are not supported",
    "gopher://user:secret@127.0.0.1:1": "the proxy must be a URL like https://host:port",
    "http://user:secret@h:99999": "the proxy is not a valid URL: the port must be a number",
    "http://user:secret/x@127.0.0.1": "the proxy is not a valid URL: the port must be a number",
    "http://user:secret@[::1": "the proxy is not a valid URL",
    "http://user:secret@exa mple": "the proxy is not a valid URL: the host must be a name",
    "http://user:secret@": "the proxy must be a URL",
    "http://user:secret@h\u2100": "the proxy is not a valid URL",
    "http://us er:secret@127.0.0.1": "the proxy is not a valid URL: percent-encode spaces",
}


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", BAD_PROXIES)
@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_proxy_of_the_environment_that_is_wrong_is_a_wrong_configuration(send, proxy, variable, monkeypatch):
    monkeypatch.setenv(variable, proxy)
    came = outcome(send, config("https://sell.invalid"))
    assert came.kind == "misconfigured"
    assert BAD_PROXIES[proxy] in came.reason
    assert "in the environment" in (came.remedy or "")
    assert "secret" not in came.reason


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_proxy_of_the_environment_needs_no_scheme(send, monkeypatch):
    with Server(says(http_response(b'{"by":"proxy"}'))) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        came = send(config("http://sell.invalid", allow_http=True))
    assert came.body == b'{"by":"proxy"}'


@pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
def test_a_ca_file_of_the_environment_that_does_not_exist_is_a_wrong_configuration(send, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/ca.pem")
    came = outcome(send, config("https://127.0.0.1:1"))
    assert came[:2] == ("misconfigured", "the CA file does not exist: /no/such/ca.pem")
