"""Decoding as such, and what it leaves of the event loop's time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.config import Secret
from airflow_provider_leadconv.api.transports.body import MAX_BODY, UnreadableBodyError, decode
from airflow_provider_leadconv.api.transports.httpx2_transport import Httpx2Transport
from tests.support.responses import TOKEN
from tests.support.servers import Server, config, http_response, says
from tests.support.transports import GET


@given(st.binary(), st.integers(1, 100), st.sampled_from(["gzip", "deflate"]))
def test_chunks_of_any_size_are_decoded(data, size, encoding):
    body = gzip.compress(data) if encoding == "gzip" else zlib.compress(data)
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    assert b"".join(decode(chunks, encoding)) == data


@pytest.mark.parametrize("repeated", [b"\0", b"lead ", bytes(range(256))])
def test_pieces_are_small_and_nothing_is_lost_between_them(repeated):
    data = repeated * (5_000_001 // len(repeated))
    pieces = list(decode([gzip.compress(data)], "gzip"))
    assert max(map(len, pieces)) <= 256 * 1024
    assert b"".join(pieces) == data


@given(st.binary(min_size=1), st.sampled_from(["gzip", "deflate"]))
def test_bytes_that_are_not_compressed_are_refused_or_decoded(data, encoding):
    with contextlib.suppress(UnreadableBodyError):  # and nothing else
        list(decode([data], encoding))


@pytest.mark.parametrize("size", [MAX_BODY, 2**30])
def test_a_large_body_does_not_block_the_event_loop(size):
    deflater = zlib.compressobj(9, wbits=31)
    block = b" " * 2**20
    body = b"".join([*(deflater.compress(block) for _ in range(size // len(block))), deflater.flush()])
    gaps = []

    async def tick():
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - last)
            last = time.perf_counter()

    async def fetch(url):
        transport = Httpx2Transport(config(url, timeout=30.0), "test")
        await transport(GET, Secret(TOKEN))  # connects
        ticking = asyncio.create_task(tick())
        came = await transport(GET, Secret(TOKEN))
        ticking.cancel()
        await transport.aclose()
        return came

    with Server(says(http_response(body, "Content-Encoding: gzip"))) as server:
        came = asyncio.run(fetch(server.url))
    assert bool(came.unreadable) == (size > MAX_BODY)
    assert len(gaps) > 5
    assert max(gaps) < 0.5  # it was 56 s; a busy machine adds to it
