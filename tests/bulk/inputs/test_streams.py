from __future__ import annotations

import gzip
import io

import pytest
import zstandard

from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.streams import open_stream

TEXT = b"".join(b"%d\n" % number for number in range(100_000))


@pytest.mark.parametrize(
    ("compression", "content"),
    [(None, TEXT), ("gzip", gzip.compress(TEXT)), ("zstd", zstandard.compress(TEXT)), ("zstd", b"")],
)
def test_bytes_are_those_that_were_compressed(compression, content):
    with open_stream(io.BytesIO(content), compression) as stream:
        assert stream.read() == (TEXT if content else b"")


def test_the_file_stays_open():
    file = io.BytesIO(TEXT)
    open_stream(file, None).close()
    assert not file.closed


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
@pytest.mark.parametrize("cut", [3, 20, -1])
def test_a_compressed_file_without_its_end_is_an_error(compression, cut):
    content = {"gzip": gzip.compress, "zstd": zstandard.compress}[compression](TEXT)
    with (
        pytest.raises(InvalidLeadsError, match=compression),
        open_stream(io.BytesIO(content[:cut]), compression) as stream,
    ):
        stream.read()


def test_an_error_of_the_place_of_the_file_stays_what_it_is():
    class Broken(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"), open_stream(Broken(), None) as stream:
        stream.read()
