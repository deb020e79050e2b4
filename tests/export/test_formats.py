from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
import zstandard
from pyarrow import parquet

from airflow_provider_leadconv.api.codec import read_page
from airflow_provider_leadconv.api.http import Response
from airflow_provider_leadconv.api.models import COLUMNS
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.export.file import write_rows
from airflow_provider_leadconv.file_formats import FileFormat
from tests.support.endpoint import conversion


def rows_of(*records, raw=None):
    body = raw or json.dumps({"items": [{"data": record} for record in records]}).encode()
    return read_page(Response(status_code=200, headers={}, body=body), ListQuery()).conversions


def written(rows, file_format, compression=None):
    file = io.BytesIO()
    facts = write_rows(file, FileFormat(name=file_format, compression=compression), [rows])
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
    ("file_format", "module", "extra"), [("parquet", "pyarrow", "parquet"), ("csv", "zstandard", "zstd")]
)
def test_missing_extra_is_named(monkeypatch, file_format, module, extra):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'airflow-provider-leadconv\[{extra}\]'"):
        written([], file_format, "zstd" if extra == "zstd" else None)
