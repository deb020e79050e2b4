from __future__ import annotations

import io

import pytest

from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.text import MAX_LINE, likely_encoding, lines_of, open_text, readable


def read(content, newline=""):
    return list(lines_of(open_text(io.BufferedReader(io.BytesIO(content)), newline=newline)))


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_an_encoding_is_found_by_its_first_bytes(encoding):
    assert read("größe\r\n1\n".encode(encoding)) == ["größe\r\n", "1\n"]
    assert read("1\n2\n".encode(encoding), newline="\n") == ["1\n", "2\n"]


@pytest.mark.parametrize("content", [b"", b"1", b"\xef\xbb\xbf"])
def test_short_files(content):
    assert "".join(read(content)) in {"", "1"}


def test_bytes_that_are_not_utf_8_are_kept_apart():
    (line,) = read(b"M\xfcller")
    assert likely_encoding(line) == "Windows-1252 (Excel's CSV)"
    assert readable(line) == "Müller"
    assert likely_encoding("Müller") is None
    assert readable("Müller") == "Müller"


def test_what_cannot_be_decoded_from_utf_16_is_marked():
    (line,) = read(b"\xff\xfe1\x00\x00\xd8")
    assert likely_encoding(line)


def test_a_line_has_a_maximal_length():
    with pytest.raises(InvalidLeadsError, match="line 2 is longer than"):
        read(b"1\n" + b"x" * MAX_LINE)
