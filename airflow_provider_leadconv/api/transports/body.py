"""Reads the body of a response within bounds, in steps too small to block an event loop.

A response of 3 kB can be compressed to expand to gigabytes, the more so if it is compressed twice. So the HTTP
libraries hand over the bytes as they came, and both transports decode them here.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

MAX_BODY = 16 * 1024 * 1024
"""A page of 200 conversions has about 100 kB. What is larger, compressed or not, is no response of this API."""
ACCEPT_ENCODING = "gzip, deflate"
_STEP = 256 * 1024
_GZIP, _ZLIB, _RAW = 31, 15, -15  # window sizes as zlib wants them
_PLAIN = ("", "identity")


class UnreadableBodyError(Exception):
    """The body is too large, in an unknown encoding, or not what its encoding says."""


class BoundedBody:
    """Collects a body up to :data:`MAX_BODY` bytes."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Append a chunk.

        :raises UnreadableBodyError: if the body has become too large.
        """
        self._size += len(chunk)
        if self._size > MAX_BODY:
            raise UnreadableBodyError(f"a body of more than {MAX_BODY // 1024**2} MiB")
        self.chunks.append(chunk)

    def joined(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks)


def decode(chunks: Iterable[bytes], content_encoding: str | None) -> Iterator[bytes]:
    """Undo the content encoding of a body.

    :param chunks: the body as it came.
    :param content_encoding: the header; ``None`` if there is none.
    :return: the decoded body in pieces of at most 256 KiB, each made when it is asked for.
    :raises UnreadableBodyError: if there is more than one encoding, an unknown one, or one that the body is not in.
    """
    encoding = (content_encoding or "").strip().lower()
    if encoding in _PLAIN:
        yield from chunks
    elif encoding in {"gzip", "x-gzip"}:
        yield from _inflate(chunks, _GZIP, encoding)
    elif encoding == "deflate":
        yield from _inflate(chunks, None, encoding)
    else:
        raise UnreadableBodyError(f"a body in none of the content encodings {ACCEPT_ENCODING}, but {encoding!r}")


def _inflate(chunks: Iterable[bytes], window: int | None, encoding: str) -> Iterator[bytes]:
    """Decompress one coding.

    :param window: ``None`` for ``deflate``, which some servers send without its header.
    """
    inflater = None if window is None else zlib.decompressobj(window)
    empty = True
    try:
        for chunk in filter(None, chunks):
            empty = False
            if inflater is None:
                inflater = zlib.decompressobj(_ZLIB if chunk[0] & 0x0F == zlib.DEFLATED else _RAW)
            piece, rest = b"", chunk
            while rest or len(piece) == _STEP:  # a full piece may not be all that the input holds
                piece = inflater.decompress(rest, _STEP)
                rest = inflater.unconsumed_tail
                yield piece
    except zlib.error as error:
        raise UnreadableBodyError(f"a body that is not valid {encoding}") from error
    if not empty and inflater and (not inflater.eof or inflater.unused_data):
        raise UnreadableBodyError(f"a body that is not valid {encoding}: {'too long' if inflater.eof else 'cut off'}")
