from __future__ import annotations

import gzip
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.records import ConversionRequest
from airflow_provider_leadconv.jobs.lead_files import rows_of_file
from airflow_provider_leadconv.jobs.leads import read_leads

LEADS = [ConversionRequest(1, 5, False), ConversionRequest(2)]
CSV = b"lead_id,owner_id,create_deal\r\n1,5,false\r\n2,,\r\n"
JSONL = b'{"lead_id": 1, "owner_id": 5, "create_deal": false}\n\n{"lead_id": 2}\n'


def parquet(**columns):
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def read(name, content):
    return read_leads(rows_of_file(name, io.BytesIO(content)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("leads.csv", CSV),
        ("LEADS.CSV", CSV),
        ("leads.csv", b"\xef\xbb\xbf" + CSV),
        ("leads.2026-11.csv.gz", gzip.compress(CSV, mtime=0)),
        ("leads.jsonl", JSONL),
        ("leads.ndjson", JSONL.replace(b"\n", b"\r\n")),
        ("leads.jsonl.gz", gzip.compress(JSONL, mtime=0)),
        ("leads.parquet", parquet(lead_id=[1, 2], owner_id=[5, None], create_deal=[False, None])),
        ("leads.parquet", parquet(lead_id=[1.0, 2.0], owner_id=[5.0, float("nan")], create_deal=["false", None])),
    ],
)
def test_formats(name, content):
    assert read(name, content) == LEADS


@pytest.mark.parametrize("content", [b"1\n2\n", b'"1"\n"2"\n', b"[1]\n[2]\n"])
def test_jsonl_of_ids(content):
    assert read("leads.jsonl", content) == [ConversionRequest(1), ConversionRequest(2)]


@pytest.mark.parametrize("name", ["leads", "leads.txt", "leads.csv.zip", "leads.parquet.gz", "leads.gz", "csv"])
def test_a_suffix_that_tells_no_format(name):
    with pytest.raises(InvalidRequestError, match="leads_path must end in"):
        rows_of_file(name, io.BytesIO())


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "must name the columns"),
        ("a.csv", b"id\n1\n", "must name the columns, lead_id among them"),
        ("a.csv", b'lead_id\n"1', "is no CSV"),
        ("a.csv", CSV.decode().encode("utf-16"), "is no CSV"),
        ("a.csv", b"lead_id,owner_id\n1,2\n3\n4,5,6\n", "row 2: line 3 has not as many fields as the header.*; row 3"),
        ("a.csv", b"lead_id,name\n1,x\n", "row 1: a lead has unknown keys name"),
        ("a.jsonl", b"1\n{\nx\n2\n", "row 2: line 2 is no JSON.*; row 3: line 3 is no JSON"),
        ("a.jsonl", b"\xff\n", "row 1"),
        ("a.csv.gz", CSV, "no gzip file"),
        ("a.csv.gz", gzip.compress(CSV, mtime=0)[:-4], "not a whole one"),
        ("a.parquet", b"PAR1", "no Parquet file"),
        ("a.parquet", parquet(lead=[1]), "row 1: a lead has unknown keys lead"),
    ],
)
def test_what_cannot_be_read(name, content, reason):
    with pytest.raises(InvalidRequestError, match=reason):
        read(name, content)


def test_it_is_read_as_a_stream():
    class Endless(io.RawIOBase):
        def __init__(self):
            self.given = 0

        def readable(self):
            return True

        def readinto(self, buffer):
            self.given += len(buffer)
            buffer[:] = b"1234567\n" * (len(buffer) // 8) + b"\n" * (len(buffer) % 8)
            return len(buffer)

    file = Endless()
    rows = rows_of_file("leads.jsonl", io.BufferedReader(file))
    assert [next(rows) for _ in range(1000)] == [1234567] * 1000
    assert file.given < 100_000
