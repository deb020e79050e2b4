"""The summary as an XCom: small whatever the API answered."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_leadconv.api.exceptions import FieldError, InvalidRequestError, UnknownOutcomeError
from airflow_provider_leadconv.api.models import ConversionResult, ConversionStatus
from airflow_provider_leadconv.bulk.summary import Summary
from airflow_provider_leadconv.operators.bulk_summary import MAX_BYTES, MAX_TEXT_BYTES, cut, summary_xcom

BIGGEST = 2**63 - 1
NUMBERS = Summary(leads=BIGGEST, converted=BIGGEST, failed=BIGGEST, api_calls=BIGGEST, duration_s=1e9 / 7)


def failed(lead_id, message, field="/data/owner_id"):
    errors = (FieldError(code="incorrect_value", field=field),)
    error = InvalidRequestError(message, status_code=422, field_errors=errors, remedy="Correct the connection.")
    return ConversionResult(lead_id=lead_id, status=ConversionStatus.FAILED, error=error)


def xcom(failures, summary=NUMBERS, results_path="/data/r.jsonl", failures_path="/data/f.csv"):
    return summary_xcom(summary, failures, results_path=results_path, failures_path=failures_path)


def test_the_first_20_failures_with_their_facts():
    unknown = ConversionResult(lead_id=2, status=ConversionStatus.UNKNOWN, error=UnknownOutcomeError("no response"))
    found = xcom([failed(1, "no such user"), unknown, *(failed(lead, "no") for lead in range(3, 40))])
    assert [failure["lead_id"] for failure in found["failures"]] == list(range(1, 21))
    assert found["failures"][:2] == [
        {"lead_id": 1, "status": "failed", "http_status": 422, "field": "/data/owner_id", "reason": "no such user"},
        {"lead_id": 2, "status": "unknown", "http_status": None, "field": None, "reason": "no response"},
    ]
    assert (found["leads"], found["results_path"], found["failures_path"]) == (BIGGEST, "/data/r.jsonl", "/data/f.csv")


@pytest.mark.parametrize("character", ["a", '"', "\\", "\x00", "é", "€", "😀", "\u202e"])
@pytest.mark.parametrize("length", [1, 120, 5_000])
def test_the_worst_case_stays_below_4_kb(character, length):
    path = f"s3://aws_default@{'b' * 63}/{'é' * 125}/manual__{'x' * 240}.jsonl"
    bad = [failed(BIGGEST - number, character * length, field=character * length) for number in range(20)]
    found = xcom(bad, results_path=path, failures_path=path.replace("jsonl", "csv"))
    assert len(json.dumps(found)) <= MAX_BYTES < 4096
    assert found["results_path"] == path
    assert found["failures"] or character == "\x00"  # two of them would have 1,440 bytes in JSON


def test_failures_are_dropped_from_the_end_until_the_paths_have_room():
    found = xcom([failed(number, "no") for number in range(1, 21)], results_path="r" * 3_000)
    assert 0 < len(found["failures"]) < 20
    assert [failure["lead_id"] for failure in found["failures"]] == list(range(1, len(found["failures"]) + 1))
    assert xcom([failed(1, "no")], results_path="r" * 5_000)["failures"] == []


@given(st.text())
def test_a_text_is_cut_at_a_character(text):
    shown = cut(text)
    assert len(shown.encode()) <= MAX_TEXT_BYTES
    assert shown == text or text.startswith(shown.removesuffix("..."))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a" * 120, "a" * 120), ("a" * 121, "a" * 117 + "..."), ("a" + "é" * 60, "a" + "é" * 58 + "...")],
)
def test_cut_text_ends_in_dots(text, shown):
    assert cut(text) == shown
