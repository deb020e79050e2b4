from __future__ import annotations

import csv
import io

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of_file
from airflow_provider_leadconv.bulk.outputs.failures import COLUMNS, FailuresFile
from airflow_provider_leadconv.bulk.outputs.records import ResultError, ResultRecord
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.exports import FORMATS, rows_in

REASON = ResultError(http_status=422, code="incorrect_value", field="/data/owner_id", text="=2+5")
RECORDS = [
    ResultRecord(lead_id=1, status="converted", conversion_id=9, run="r", start_watermark=1),
    ResultRecord(lead_id=2, owner_id=5, create_deal=False, status="failed", error=REASON, run="r", start_watermark=1),
    ResultRecord(lead_id=3, status="existing", conversion_id=8, run="r", start_watermark=1),
    ResultRecord(
        lead_id=4, create_deal=True, status="unknown", error=ResultError(text="lost"), run="r", start_watermark=1
    ),
    ResultRecord(lead_id=5, status="not_attempted", run="r", start_watermark=1),
    ResultRecord(lead_id=6, status="would_convert", run="r", start_watermark=1),
]


def published(folder, name, records=RECORDS):
    failures = FailuresFile(LocalFolder(folder), name, "https://sell/{}".format)
    failures.publish(records)
    return failures, (folder / name).read_bytes()


def test_a_row_for_each_lead_that_was_not_converted(tmp_path):
    failures, data = published(tmp_path, "f.jsonl")
    assert failures.rows == 3
    assert rows_in(data, "f.jsonl") == [
        {
            "lead_id": 2,
            "reason": "=2+5",
            "http_status": 422,
            "field": "/data/owner_id",
            "link": "https://sell/2",
            "status": "failed",
            "owner_id": 5,
            "create_deal": False,
            "run": "r",
        },
        {
            "lead_id": 4,
            "reason": "lost",
            "http_status": None,
            "field": None,
            "link": "https://sell/4",
            "status": "unknown",
            "owner_id": None,
            "create_deal": True,
            "run": "r",
        },
        {
            "lead_id": 5,
            "reason": "The run was stopped before this lead was converted",
            "http_status": None,
            "field": None,
            "link": "https://sell/5",
            "status": "not_attempted",
            "owner_id": None,
            "create_deal": None,
            "run": "r",
        },
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["f.jsonl"]


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
def test_failures_are_leads_with_their_settings(tmp_path, file_format):
    name = f"f{file_format.suffix}"
    _, data = published(tmp_path, name)
    leads = read_leads(rows_of_file(name, io.BytesIO(data)))
    assert leads == [ConversionRequest(2, 5, False), ConversionRequest(4, None, True), ConversionRequest(5)]
    assert leads.is_of_results
    # Unlike results, failures have no journal beside them, so requests may be on their way whatever the statuses are.
    _, data = published(tmp_path, name, RECORDS[:2])
    assert read_leads(rows_of_file(name, io.BytesIO(data))).has_unknown


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
def test_without_failures_the_file_has_no_rows_and_no_leads(tmp_path, file_format):
    name = f"f{file_format.suffix}"
    published(tmp_path, name)
    failures, data = published(tmp_path, name, RECORDS[:1])
    assert failures.rows == 0
    assert rows_in(data, name) == []
    leads = read_leads(rows_of_file(name, io.BytesIO(data)))
    assert (leads, leads.has_unknown) == ([], False)


def test_csv_is_safe_in_a_spreadsheet_and_has_a_header_in_any_case(tmp_path):
    _, data = published(tmp_path, "f.csv", RECORDS[:2])
    header, row = csv.reader(io.StringIO(data.decode(), newline=""))
    assert header == [column.name for column in COLUMNS]
    assert row == ["2", "'=2+5", "422", "/data/owner_id", "https://sell/2", "failed", "5", "false", "r"]
    _, empty = published(tmp_path, "f.csv", [])
    assert empty.decode() == f"{','.join(header)}\r\n"


def test_a_file_that_a_spreadsheet_saved_is_read(tmp_path):
    _, data = published(tmp_path, "f.csv")
    saved = data.decode().replace(",", ";").replace("false", "FALSE").encode("utf-16")
    assert read_leads(rows_of_file("f.csv", io.BytesIO(saved)))[0] == ConversionRequest(2, 5, False)


@pytest.mark.parametrize("name", ["f", "f.txt", "f.parquet.gz", "f.xlsx"])
def test_another_extension_is_refused(tmp_path, name):
    with pytest.raises(InvalidRequestError, match=rf"failures_path must end in \.jsonl or .*, got '{name}'"):
        FailuresFile(LocalFolder(tmp_path), name, str)
