"""Bodies that are compressed, too large, or not what they should be, through both transports."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from functools import cache

import pytest

from airflow_provider_leadconv.api.error_mapping import error_from_response, unusable_response
from airflow_provider_leadconv.api.exceptions import (
    AuthenticationError,
    InvalidResponseError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.transports.body import MAX_BODY
from tests.support.servers import Server, config, http_response, says
from tests.support.transports import TRANSPORTS

pytestmark = pytest.mark.parametrize("send", TRANSPORTS.values(), ids=TRANSPORTS)
JSON = b'{"items": []}'


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return deflater.compress(data) + deflater.flush()


def fetch(send, body: bytes, *headers: str, status: str = "200 OK"):
    with Server(says(http_response(body, *headers, status=status))) as server:
        return send(config(server.url, timeout=30.0))


GOOD = {
    "gzip": (gzip.compress(JSON), "gzip"),
    "x-gzip": (gzip.compress(JSON), "X-GZIP"),
    "deflate": (zlib.compress(JSON), "deflate"),
    "deflate without a header": (raw_deflate(JSON), "deflate"),
    "identity": (JSON, "identity"),
    "nothing": (JSON, ""),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_known_encoding_is_decoded(send, name):
    body, encoding = GOOD[name]
    assert fetch(send, body, f"Content-Encoding: {encoding}").body == JSON


@pytest.mark.parametrize("status", ["200 OK", "429 Too Many Requests"])
def test_an_empty_body_may_be_in_any_known_encoding(send, status):
    came = fetch(send, b"", "Content-Encoding: gzip", status=status)
    assert (came.body, came.unreadable) == (b"", None)


GZIPPED = gzip.compress(JSON)
BAD = {
    "twice": (
        gzip.compress(GZIPPED),
        "gzip, gzip",
        "a body in none of the content encodings gzip, deflate, but 'gzip, gzip'",
    ),
    "twice, in two headers": (
        gzip.compress(GZIPPED),
        "gzip\r\nContent-Encoding: gzip",
        "but 'gzip, gzip'",
    ),
    "br": (b"\x0b\x02\x80{}\x03", "br", "but 'br'"),
    "zstd": (b"(\xb5/\xfd", "zstd", "but 'zstd'"),
    "unknown": (JSON, "x" * 1000, f"but '{'x' * 100}"),
    "no gzip": (b"plain text", "gzip", "a body that is not valid gzip"),
    "cut off": (GZIPPED[:-9], "gzip", "a body that is not valid gzip: cut off"),
    "too long": (GZIPPED * 2, "gzip", "a body that is not valid gzip: too long"),
    "no deflate": (b"plain text", "deflate", "a body that is not valid deflate"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_body_that_cannot_be_decoded_is_an_invalid_response(send, name):
    body, encoding, says_so = BAD[name]
    came = fetch(send, body, f"Content-Encoding: {encoding}", "X-Request-Id: r-1")
    assert came.body == b""
    for method, kind in (("GET", InvalidResponseError), ("POST", UnknownOutcomeError)):
        assert error_from_response(method, came) is None
        error = unusable_response(method, came, "no JSON")
        assert type(error) is kind
        assert says_so in str(error)
        assert len(str(error)) < 500
        assert error.request_id == "r-1"


@pytest.mark.parametrize(
    ("status", "kind"), [("401 Unauthorized", AuthenticationError), ("503 Unavailable", UnavailableError)]
)
def test_a_status_is_believed_even_if_the_body_cannot_be_decoded(send, status, kind):
    error = error_from_response("GET", fetch(send, b"?", "Content-Encoding: br", status=status))
    assert type(error) is kind
    assert "deflate, but 'br'" in str(error)


def endless(head: bytes):
    def talk(sock, request):
        sock.sendall(head)
        while True:
            sock.sendall(b" " * 65536)

    return talk


CLOSE = b"Connection: close\r\n\r\n"


@cache
def gzipped_blanks(size: int) -> bytes:
    deflater = zlib.compressobj(9, wbits=31)
    block = b" " * 2**20
    return b"".join([*(deflater.compress(block) for _ in range(size // len(block))), deflater.flush()])


# Made when they are needed: to compress a gigabyte takes seconds.
HUGE = {
    "a body without end": lambda: endless(b"HTTP/1.1 200 OK\r\n" + CLOSE),
    "a redirect with a body without end": lambda: endless(
        b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\n" + CLOSE
    ),
    "1 GB in 1 MB of gzip": lambda: says(http_response(gzipped_blanks(2**30), "Content-Encoding: gzip")),
    "a gzip in a gzip": lambda: says(
        http_response(gzip.compress(gzipped_blanks(2**30)), "Content-Encoding: gzip, gzip")
    ),
}


@pytest.mark.parametrize("name", HUGE)
def test_no_more_than_the_largest_body_is_held(send, name):
    with Server(HUGE[name]()) as server:
        tracemalloc.start()
        try:
            came = send(config(server.url, timeout=30.0))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert came.body == b""
    assert came.unreadable.startswith(("a body of more than 16 MiB", "a body in none of the content encodings"))
    assert peak < 4 * MAX_BODY


def test_a_body_of_the_largest_size_is_read(send):
    assert len(fetch(send, gzipped_blanks(MAX_BODY), "Content-Encoding: gzip").body) == MAX_BODY
