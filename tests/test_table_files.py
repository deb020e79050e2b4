from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.table_files import (
    Column,
    ColumnType,
    check_installed,
    compressed,
    escape_formula,
    table_writer,
    unescape_formula,
)

COLUMNS = [
    Column("id", ColumnType.INTEGER, nullable=False),
    Column("text", ColumnType.TEXT),
    Column("flag", ColumnType.BOOLEAN),
    Column("time", ColumnType.TIME),
]
MOMENT = datetime(2026, 11, 23, 10, tzinfo=UTC)


def written(file_format, rows, columns=COLUMNS):
    file = io.BytesIO()
    with table_writer(file, file_format, columns) as writer:
        for batch in rows:
            writer.write(batch)
    return file.getvalue()


def test_jsonl_has_an_object_for_each_row():
    data = written(FileFormat(), [[[1, "=a", True, "now"]], [], [[2, None, None, None]]])
    assert [json.loads(line) for line in data.splitlines()] == [
        {"id": 1, "text": "=a", "flag": True, "time": "now"},
        {"id": 2, "text": None, "flag": None, "time": None},
    ]


def test_csv_has_a_header_and_nulls_are_empty():
    data = written(FileFormat(name="csv"), [[[1, 'a "b",\nc', True, "now"], [2, None, False, None]], []])
    assert data == b'id,text,flag,time\r\n1,"a ""b"",\nc",true,now\r\n2,,false,\r\n'


SIGNS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four in full width


@pytest.mark.parametrize(
    "start", [*SIGNS, "\t", "\r", "\n", "'", "\t=", " =", "\r\n +", "\xa0@", "\u3000\uff1d", "\ufeff="]
)
def test_csv_text_is_no_formula_in_a_spreadsheet(start):
    text = f"{start}HYPERLINK(1)"
    (_, (cell,)) = csv.reader(
        io.StringIO(written(FileFormat(name="csv"), [[[text]]], [COLUMNS[1]]).decode(), newline="")
    )
    assert cell == f"'{text}"
    assert unescape_formula(cell) == text


@given(st.text() | st.text("= \t\n'\uff1dx"))
def test_every_text_is_read_back_as_it_was(text):
    escaped = escape_formula(text)
    assert unescape_formula(escaped) == text
    assert not escaped.startswith(("\t", "\r", "\n"))
    assert not escaped.lstrip().startswith(SIGNS)


@pytest.mark.parametrize("text", ["", " ", "a=b", "1-2", " text", "\xe4"])
def test_a_text_that_is_no_formula_stays_as_it_is(text):
    assert escape_formula(text) == text


def test_parquet_is_typed_even_without_rows():
    data = written(FileFormat(name="parquet"), [[[1, "=a", True, MOMENT]], [[2, None, None, None]]])
    assert parquet.read_table(io.BytesIO(data)).to_pylist() == [
        {"id": 1, "text": "=a", "flag": True, "time": MOMENT},
        {"id": 2, "text": None, "flag": None, "time": None},
    ]
    schema = parquet.read_schema(io.BytesIO(written(FileFormat(name="parquet"), [])))
    assert {field.name: (str(field.type), field.nullable) for field in schema} == {
        "id": ("int64", False),
        "text": ("string", True),
        "flag": ("bool", True),
        "time": ("timestamp[us, tz=UTC]", True),
    }


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_compressed_rows_are_the_same(name):
    rows = [[[number, "text", None, None] for number in range(1000)]]
    plain = written(FileFormat(name=name), rows)
    assert gzip.decompress(written(FileFormat(name=name, compression="gzip"), rows)) == plain
    zipped = written(FileFormat(name=name, compression="zstd"), rows)
    assert zstandard.ZstdDecompressor().stream_reader(zipped).read() == plain


def test_a_failed_write_does_not_complete_the_file():
    file = io.BytesIO()

    def write():
        with compressed(file, "zstd") as stream:
            stream.write(b"data")
            raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write()
    assert file.getvalue() == b""


@pytest.mark.parametrize(
    ("file_format", "module", "extra"),
    [
        (FileFormat(name="parquet"), "pyarrow", "parquet"),
        (FileFormat(name="csv", compression="zstd"), "zstandard", "zstd"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(file_format, module, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'airflow-provider-leadconv\[{extra}\]'"):
        check_installed(file_format)
