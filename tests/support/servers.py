"""Servers on real sockets that misbehave as told."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import strategies as st

from airflow_provider_leadconv.api.config import ClientConfig
from tests.support.responses import TOKEN

Talk = Callable[[socket.socket, bytes], object]


class Server:
    """Reads requests, each to the end of its body, and hands them to ``talk``, which may response on the socket.

    It closes a connection when ``talk`` returns something true.

    :param talk: is given the socket and the request.
    :param tls: to speak TLS.
    :param address: the loopback address to listen on. Clients of other tests may still try a port of the default one.
    """

    def __init__(self, talk: Talk, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1") -> None:
        self._talk = talk
        self._tls = tls
        self._socket = socket.create_server((address, 0))
        self.port: int = self._socket.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self._open: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in [self._socket, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock = self._socket.accept()[0]
                self._open.append(sock)
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls:
                sock = self._tls.wrap_socket(sock, server_side=True)
            with sock:
                while (request := _read_request(sock)) is not None:
                    self.requests.append(request)
                    if self._talk(sock, request):
                        return


def _read_request(sock: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (chunk := sock.recv(65536)):
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def http_response(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> bytes:
    """A well-framed response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


_STATUS_LINES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 201", b"HTTP/1.0 200 OK", b"HTTP/2.0 200 OK", b"HTTP/1.1 422 No"),
        *(b"HTTP/1.1 302 Found", b"HTTP/1.1 204 No", b"HTTP/1.1 304 No", b"HTTP/1.1 101 Switching"),
        *(b"HTTP/1.1 -200 OK", b"HTTP/1.1 99 OK", b"HTTP/1.1 1000 OK", b"HTTP/1.1 \xb2\xb2\xb2 OK", b"<html>", b"\0"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 200 OK",
    ]
)
_CHUNKED = b"Transfer-Encoding: chunked"
_HEADERS = st.sampled_from(
    [
        *(_CHUNKED, _CHUNKED, _CHUNKED, b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: \xff"),
        *(b"Content-Length: 2", b"Content-Length: -2", b"Content-Length: +2", b"Content-Length: 2,3"),
        *(
            b"Content-Length: zz",
            b"Content-Length: " + b"9" * 5000,
            b"Content-Encoding: gzip",
            b"Content-Encoding: \xff",
        ),
        *(b"Location: http://[::1", b"Location: http://\xff:99999999/", b"Location: ///"),
        *(b"Set-Cookie: a=\xff; expires=never; max-age=zz", b"Content-Type: text/html; charset=\xff\0; boundary"),
        *(
            b"Content-Type: multipart/mixed",
            b": no name",
            b" folded",
            b"X\xff: \0",
            b"no colon",
            b"X: " + b"y" * 70_000,
        ),
        *(b"Retry-After: 1e999", b"Retry-After: -1", b"X: y\r\n" * 150 + b"X: y"),
    ]
)
_SIZES = st.sampled_from(
    [
        *(b"2", b"-1", b"-5", b"-2147483649", b"0", b"", b"zz", b"0x2", b"+2", b"0_2", b" 2 ", b"\xff", b"f" * 5000),
        *(b"f" * 16, b"7fffffffffffffff", b"2;name=value", b"2\0"),
    ]
)
_chunks = st.lists(st.builds(lambda size, data: size + b"\r\n" + data + b"\r\n", _SIZES, st.just(b"{}")), max_size=3)
hostile_frames = st.builds(
    lambda status, headers, chunks, end: b"\r\n".join([status, *headers, b"", b"".join(chunks) + end]),
    _STATUS_LINES,
    st.lists(_HEADERS, max_size=3),
    _chunks,
    st.sampled_from([b"0\r\n\r\n", b"0\r\nTrailer\xff\r\n\r\n", b"{}", b"", b"-1\r\n\r\n"]),
)
"""What a server may send in place of a response, of which little is one."""


def says(data: bytes, *, then_close: bool = False) -> Talk:
    """:return: a talk that responses every request alike."""
    return lambda sock, request: (sock.sendall(data), then_close)[1]


def trickles(data: bytes, every: float = 0.05) -> Talk:
    """:return: a talk that sends a byte at a time."""

    def talk(sock: socket.socket, request: bytes) -> None:
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(every)

    return talk


def silent(sock: socket.socket, request: bytes) -> None:
    """Say nothing."""


def hangs_up(sock: socket.socket, request: bytes) -> bool:
    """Close without a response."""
    return True


def config(url: str, **fields: object) -> ClientConfig:
    """A configuration for a server of a test."""
    return ClientConfig(**{"token": TOKEN, "base_url": url, "timeout": 5.0, **fields})


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """A port nobody listens on, and nobody else is given meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def certificate(folder: Path, *names: str, days: int = 1) -> tuple[Path, ssl.SSLContext]:
    """Make a self-signed certificate.

    :param days: until it expires; below 0 if it has.
    :return: its file, and what a server needs to use it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    alternatives = [
        x509.IPAddress(ipaddress.ip_address(each)) if each[0].isdigit() else x509.DNSName(each) for each in names
    ]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path, key_path = folder / "certificate.pem", folder / "key.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path, key_path)
    return path, context
