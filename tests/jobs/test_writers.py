from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
import zstandard
from pyarrow import parquet

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.messages import Answer
from airflow_provider_leadconv.api.wire import ListQuery, read_page
from airflow_provider_leadconv.jobs.export import write_rows
from airflow_provider_leadconv.jobs.writers import COLUMNS, FileFormat
from jobs.account import conversion


def rows_of(*records, raw=None):
    body = raw or json.dumps({"items": [{"data": record} for record in records]}).encode()
    return read_page(Answer(status=200, headers={}, body=body), ListQuery()).conversions


def written(rows, file_format, compression=None):
    file = io.BytesIO()
    facts = write_rows(file, FileFormat(file_format=file_format, compression=compression), [rows])
    assert facts.bytes == len(file.getvalue())
    assert facts.rows == len(rows)
    return file.getvalue()


def test_jsonl_keeps_every_byte_the_api_sent():
    data = b'{"id":2, "lead_id":1,"note":"a \\"quote\\",\\nline, \xc3\xa9 \\u00e9 \xf0\x9f\x98\x80","b":1.0e400}'
    assert written(rows_of(raw=b'{"items":[{"data":' + data + b"}]}"), "jsonl") == data + b"\n"


def test_jsonl_has_one_line_a_row_however_the_api_formats():
    body = json.dumps({"items": [{"data": conversion(2, note="a\nb")}, {"data": conversion(1)}]}, indent=2).encode()
    lines = written(rows_of(raw=body), "jsonl").splitlines()
    assert [json.loads(line) for line in lines] == [conversion(2, note="a\nb"), conversion(1)]


def test_csv_is_rfc_4180_with_nulls_empty():
    data = written(rows_of(conversion(3, extra="x"), conversion(1, created_at='odd, "time"\nof day')), "csv")
    assert data.split(b"\r\n")[:2] == [",".join(COLUMNS).encode(), b"3,30,,15,21,2,2026-01-01T00:03:00Z"]
    assert list(csv.reader(io.StringIO(data.decode(), newline="")))[2] == [
        "1",
        "10",
        "3",
        "",
        "7",
        "2",
        'odd, "time"\nof day',
    ]


def test_parquet_is_typed(caplog):
    big = 2**62
    data = written(rows_of(conversion(4, id=big), conversion(3), conversion(2, created_at="soon")), "parquet")
    table = parquet.read_table(io.BytesIO(data))
    types = {field.name: str(field.type) for field in table.schema}
    assert types == dict.fromkeys(COLUMNS[:-1], "int64") | {"created_at": "timestamp[us, tz=UTC]"}
    assert table["id"].to_pylist() == [big, 3, 2]
    assert table["individual_id"].to_pylist()[1] is None
    assert table["created_at"].to_pylist()[1].isoformat() == "2026-01-01T00:03:00+00:00"
    assert table["created_at"].to_pylist()[2] is None
    assert "Conversion 2 has a created_at that is no time: 'soon'" in caplog.text


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_compression(file_format):
    rows = rows_of(*(conversion(n) for n in range(200, 0, -1)))
    plain = written(rows, file_format)
    assert gzip.decompress(written(rows, file_format, "gzip")) == plain
    assert zstandard.ZstdDecompressor().stream_reader(written(rows, file_format, "zstd")).read() == plain


@pytest.mark.parametrize(("file_format", "compression"), [("jsonl", "gzip"), ("csv", "zstd"), ("parquet", None)])
def test_same_rows_give_same_bytes(file_format, compression):
    rows = rows_of(*(conversion(n) for n in range(200, 0, -1)))
    assert written(rows, file_format, compression) == written(rows, file_format, compression)


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
def test_no_rows(file_format):
    data = written([], file_format)
    if file_format == "parquet":
        assert parquet.read_table(io.BytesIO(data)).num_rows == 0
    else:
        assert data.decode() == {"jsonl": "", "csv": ",".join(COLUMNS) + "\r\n"}[file_format]


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("a.jsonl", (None, None), ("jsonl", None)),
        ("a.b.csv.gz", (None, None), ("csv", "gzip")),
        ("a.jsonl.zst", ("jsonl", "zstd"), ("jsonl", "zstd")),
        ("a.parquet", (None, None), ("parquet", None)),
        ("a", ("csv", "gzip"), ("csv", "gzip")),
        ("a.gz", ("jsonl", None), ("jsonl", "gzip")),
    ],
)
def test_format_by_name(name, given, expected):
    how = FileFormat.of(name, file_format=given[0], compression=given[1])
    assert (how.file_format, how.compression) == expected


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("a.txt", (None, None), "does not end in .jsonl"),
        ("a.csv", ("jsonl", None), "file_format is 'jsonl', but the name 'a.csv' says 'csv'"),
        ("a.csv.gz", (None, "zstd"), "compression is 'zstd', but the name 'a.csv.gz' says 'gzip'"),
        ("a.csv", (None, "gzip"), "compression is 'gzip', but the name 'a.csv' says None"),
        ("a", ("xml", None), "file_format must be one of jsonl, csv, parquet, got 'xml'"),
        ("a", ("csv", "zip"), "compression must be gzip, zstd or None, got 'zip'"),
        ("a.parquet.gz", (None, None), "a parquet file is compressed within"),
    ],
)
def test_unusable_format(name, given, complaint):
    with pytest.raises(InvalidRequestError, match=complaint.replace(".", r"\.")):
        FileFormat.of(name, file_format=given[0], compression=given[1])


@pytest.mark.parametrize(
    ("file_format", "module", "extra"), [("parquet", "pyarrow", "parquet"), ("csv", "zstandard", "zstd")]
)
def test_missing_extra_is_named(monkeypatch, file_format, module, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'airflow-provider-leadconv\[{extra}\]'"):
        written([], file_format, "zstd" if extra == "zstd" else None)
