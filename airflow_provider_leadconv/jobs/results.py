"""What happened to each lead of a batch: a line of JSON each, kept while the job runs, published in input order."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError, LeadConversionError
from airflow_provider_leadconv.api.records import DOCUMENTED_KEYS, ConversionOutcome, ConversionRequest, Outcome
from airflow_provider_leadconv.jobs.journal import Journal, LocalJournal, ObjectJournal
from airflow_provider_leadconv.jobs.storage import Folder, LocalFolder, ObjectFolder

_FINAL = {Outcome.CONVERTED, Outcome.EXISTING}
_CONVERSION_KEYS = tuple(key for key in DOCUMENTED_KEYS if key not in {"id", "lead_id"})


def result_line(lead: ConversionRequest, outcome: str, result: ConversionOutcome | None, run: str) -> dict[str, Any]:
    """:return: the line of a lead: what was asked, the outcome, the conversion's fields, the error, and whose it is."""
    conversion = result.conversion.to_dict() if result and result.conversion else {}
    return {
        **msgspec.structs.asdict(lead),
        "outcome": str(outcome),
        "conversion_id": conversion.get("id"),
        **{key: conversion.get(key) for key in _CONVERSION_KEYS},
        "error": _error(result.error) if result and result.error else None,
        "run": run,
    }


def _error(error: LeadConversionError) -> dict[str, Any]:
    field = next((entry.field for entry in error.field_errors if entry.field), None)
    return {"status": error.status, "code": error.code, "field": field, "text": str(error)}
