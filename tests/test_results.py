from __future__ import annotations

import json
import uuid

import fsspec
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath

from airflow_provider_leadconv.api.exceptions import FieldError, InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionResult, ConversionStatus, LeadConversion
from airflow_provider_leadconv.results import read_results

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

CONVERTED = {
    "lead_id": 1,
    "owner_id": 5,
    "create_deal": None,
    "status": "converted",
    "conversion_id": 9,
    "individual_id": 8,
    "organization_id": None,
    "deal_id": 7,
    "creator_id": 6,
    "created_at": "2026-11-23T00:00:00Z",
    "error": None,
    "run": "r",
    "start_watermark": 3,
}
ERROR = {"http_status": 422, "code": "incorrect_value", "field": "/data/owner_id", "text": "the API answered 422"}
FAILED = {"lead_id": 2, "status": "failed", "error": ERROR, "run": "r", "start_watermark": 3}
DRY = {"lead_id": 3, "status": "would_convert", "error": None, "run": "r", "start_watermark": 3}


def write(path, *lines):
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


def test_results_are_typed(tmp_path):
    converted, failed, dry = read_results(write(tmp_path / "r.jsonl", CONVERTED, FAILED, DRY))
    assert converted == ConversionResult(
        lead_id=1,
        status=ConversionStatus.CONVERTED,
        conversion=LeadConversion(
            id=9, lead_id=1, individual_id=8, deal_id=7, creator_id=6, created_at_raw="2026-11-23T00:00:00Z"
        ),
    )
    assert (failed.status, failed.conversion) == (ConversionStatus.FAILED, None)
    assert (str(failed.error), failed.error.status_code) == ("the API answered 422.", 422)
    assert failed.error.field_errors == (FieldError(code="incorrect_value", field="/data/owner_id"),)
    assert dry == ConversionResult(lead_id=3, status=ConversionStatus.NOT_ATTEMPTED)


def test_they_are_read_lazily_and_an_error_names_file_and_line(tmp_path):
    path = write(tmp_path / "r.jsonl", CONVERTED, "broken", FAILED)
    results = read_results(path)
    assert next(results).lead_id == 1
    with pytest.raises(InvalidRequestError) as failure:
        next(results)
    assert str(failure.value).startswith(f"{path} is no file of results: line 2: JSON is malformed")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", r"cannot use path .*none\.jsonl: "),
        ("none.txt", r"the name of a results file must end in \.jsonl .*none\.txt"),
    ],
)
def test_a_path_that_cannot_be_read(tmp_path, name, message):
    if name.endswith(".txt"):
        (tmp_path / name).write_text("x")
    with pytest.raises(InvalidRequestError, match=message):
        next(read_results(str(tmp_path / name)))


def test_from_an_object_store(tmp_path):
    attach("memory", fs=fsspec.filesystem("memory"))
    path = f"memory://bucket/{uuid.uuid4().hex}.jsonl"
    ObjectStoragePath(path).write_bytes((json.dumps(CONVERTED) + "\n").encode())
    assert [result.lead_id for result in read_results(path)] == [1]
