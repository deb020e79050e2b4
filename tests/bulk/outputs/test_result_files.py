"""Results in every format: what is written is read back."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of_file
from airflow_provider_leadconv.bulk.outputs.records import ResultError, ResultRecord
from airflow_provider_leadconv.bulk.outputs.result_files import read_records, write_results
from airflow_provider_leadconv.file_formats import FileFormat
from tests.support.exports import FORMATS

EVIL = ResultError(http_status=422, code="incorrect_value", field="/data/owner_id", text='=HYPERLINK("x"),\n\'é😀')
RECORDS = [
    ResultRecord(
        lead_id=2**62,
        owner_id=5,
        create_deal=False,
        status="converted",
        conversion_id=9,
        individual_id=8,
        deal_id=7,
        creator_id=6,
        created_at="2026-11-23T00:00:00Z",
        run="dag/manual__2026-11-23T00:00:00+00:00/convert/-1",
        start_watermark=0,
    ),
    ResultRecord(lead_id=1, status="failed", error=EVIL, run="r", start_watermark=None),
    ResultRecord(
        lead_id=2, create_deal=True, status="unknown", error=ResultError(text="-"), run="r", start_watermark=3
    ),
    ResultRecord(lead_id=3, status="would_convert", run="r", start_watermark=3),
    ResultRecord(lead_id=4, status="not_attempted", run="r", start_watermark=3),
]


def written(file_format, records):
    file = io.BytesIO()
    write_results(file, file_format, map(msgspec.json.encode, records))
    return file.getvalue()


def read(data, name):
    return list(read_records(name, io.BytesIO(data), f"{name} is no results file"))


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
def test_what_is_written_is_read_back(file_format):
    assert read(written(file_format, RECORDS), f"r{file_format.suffix}") == RECORDS
    assert read(written(file_format, []), f"r{file_format.suffix}") == []


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
def test_results_are_leads(file_format):
    name = f"r{file_format.suffix}"
    leads = read_leads(rows_of_file(name, io.BytesIO(written(file_format, RECORDS))))
    assert [(lead.lead_id, lead.owner_id, lead.create_deal) for lead in leads] == [
        (1, None, None),
        (2, None, True),
        (3, None, None),
        (4, None, None),
    ]
    assert (leads.is_of_results, leads.has_unknown) == (True, True)
    settled = read_leads(rows_of_file(name, io.BytesIO(written(file_format, [RECORDS[0], RECORDS[1]]))))
    assert ([lead.lead_id for lead in settled], settled.is_of_results, settled.has_unknown) == ([1], True, False)


ERRORS = st.builds(
    ResultError,
    http_status=st.none() | st.integers(100, 599),
    code=st.none() | st.text(min_size=1),
    field=st.none() | st.text(min_size=1),
    text=st.text(min_size=1),
)


@given(st.lists(st.tuples(st.integers(1, 2**63 - 1), ERRORS, st.text(min_size=1))))
def test_csv_of_any_text_is_read_back(rows):
    records = [
        ResultRecord(lead_id=lead, status="failed", error=error, run=run, start_watermark=1)
        for lead, error, run in rows
    ]
    assert read(written(FileFormat(name="csv"), records), "r.csv") == records


def test_in_parquet_the_time_is_a_time():
    odd = ResultRecord(lead_id=5, status="existing", conversion_id=1, created_at={"odd": 1}, run="r", start_watermark=1)
    rows = parquet.read_table(io.BytesIO(written(FileFormat(name="parquet"), [RECORDS[0], odd]))).to_pylist()
    assert [row["created_at"] for row in rows] == [datetime(2026, 11, 23, tzinfo=UTC), None]
    (_, sent) = read(written(FileFormat(name="csv"), [RECORDS[0], odd]), "r.csv")
    assert json.loads(sent.created_at) == {"odd": 1}


HEADER = written(FileFormat(name="csv"), []).decode()
ROW = f"1{',' * (HEADER.count(',') - 1)}r,3\r\n"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("r.jsonl", b"lead_id\n1\n", "line 1: JSON is malformed"),
        ("r.jsonl", written(FileFormat(), RECORDS[:1]) + b"{}\n", "line 2: Object missing required field `lead_id`"),
        (
            "r.jsonl",
            b'{"lead_id":1,"status":"odd","run":"r","start_watermark":1}',
            "line 1: status is none of converted",
        ),
        ("r.jsonl", b"\xff\n", "line 1: "),
        ("r.jsonl.gz", b"{}", "the file is not in gzip format, or damaged"),
        ("r.csv", b"lead_id\n1\n", "line 2: Object missing required field `status`"),
        ("r.csv", HEADER.encode() + b"1,2\r\n", "line 2: 2 fields, but 16 in the header"),
        (
            "r.csv",
            HEADER.encode() + ROW.replace("1,", "x,", 1).encode(),
            "line 2: Expected `int`, got `str` - at `$.lead_id`",
        ),
        ("r.csv", HEADER.encode() + ROW.encode(), "line 2: Expected `str`, got `null` - at `$.status`"),
        ("r.csv", HEADER.encode() + b'"open\r\nquote', "line 2: unexpected end of data"),
        ("r.csv", HEADER.encode() + b"\xe9\r\n", "line 2: 'utf-8' codec can't decode byte 0xe9"),
        ("r.parquet", b"PAR1", "the file is not Parquet, or damaged"),
    ],
)
def test_a_file_that_holds_no_results_is_named_with_its_line(name, data, message):
    with pytest.raises(InvalidRequestError) as failure:
        read(data, name)
    assert str(failure.value).startswith(f"{name} is no results file: {message}")


def test_parquet_of_something_else_is_named_with_its_row():
    rows = io.BytesIO()
    parquet.write_table(__import__("pyarrow").table({"lead_id": [1]}), rows)
    with pytest.raises(InvalidRequestError, match="row 1: Object missing required field `status`"):
        read(rows.getvalue(), "r.parquet")


def test_the_line_is_the_first_of_its_row():
    broken = HEADER + '1,,,failed,,,,,,,422,c,f,"two\nlines",r,1\r\n' + "x,,,failed,,,,,,,,,,,r,1\r\n"
    with pytest.raises(InvalidRequestError, match="line 4: Expected `int`"):
        read(broken.encode(), "r.csv")


def test_rows_are_read_lazily():
    data = written(FileFormat(), RECORDS[:1]) + b"broken\n"
    records = read_records("r.jsonl", io.BytesIO(data), "r.jsonl is no results file")
    assert next(records) == RECORDS[0]
    with pytest.raises(InvalidRequestError, match="line 2"):
        next(records)
