"""Bytes of a file, decompressed."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from functools import partial
from typing import IO, cast

from typing_extensions import Buffer, override

from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.file_formats import name_missing_extra

_CHUNK = 2**15
_COMPRESSED_CHUNK = 2**12
"""Small, since zstd gives all that it decompresses from one chunk at once."""


def open_stream(file: IO[bytes], compression: str | None) -> io.BufferedReader:
    """Read a file as a stream of decompressed bytes.

    :param file: file open for reading; it is not closed.
    :param compression: ``gzip``, ``zstd`` or ``None``.
    :raises ImportError: if zstandard is needed and not installed.
    """
    if compression == "gzip":
        chunks = _gunzipped(file)
    elif compression == "zstd":
        with name_missing_extra("zstd"):
            import zstandard  # noqa: F401  # now, not at the first chunk
        chunks = _zstd_decompressed(file)
    else:
        chunks = _chunks(file, _CHUNK)
    return io.BufferedReader(_ChunkReader(chunks), buffer_size=_CHUNK)


class _ChunkReader(io.RawIOBase):
    """A file of chunks. What Airflow 2.11 and 3.0 open has too few methods for :class:`io.BufferedReader`."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    @override
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Fill the buffer as far as the next chunk goes."""
        view = memoryview(buffer)
        if not self._rest:
            self._rest = next(self._chunks, b"")
        size = min(len(view), len(self._rest))
        view[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _chunks(file: IO[bytes], size: int) -> Iterator[bytes]:
    return iter(partial(file.read, size), b"")


def _gunzipped(file: IO[bytes]) -> Iterator[bytes]:
    try:
        with gzip.open(file) as unzipped:
            yield from _chunks(cast("IO[bytes]", unzipped), _CHUNK)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidLeadsError(f"the file is not in gzip format, or damaged: {error}") from error


def _zstd_decompressed(file: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    is_complete = True
    try:
        for chunk in _chunks(file, _COMPRESSED_CHUNK):
            data = chunk
            while data:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                if decompressed := frame.decompress(data):
                    yield decompressed
                data = frame.unused_data if frame.eof else b""
            is_complete = frame.eof
    except zstandard.ZstdError as error:
        raise InvalidLeadsError(f"the file is not in zstd format, or damaged: {error}") from error
    if not is_complete:
        raise InvalidLeadsError("the file is not a complete zstd file: its end is missing")
