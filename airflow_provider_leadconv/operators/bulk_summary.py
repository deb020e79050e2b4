"""The summary of a bulk conversion as an XCom, which is small whatever the API answered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.models import ConversionResult
    from airflow_provider_leadconv.bulk.summary import Summary

MAX_BYTES = 4_000
"""Of the summary, as JSON in ASCII. Airflow keeps XComs in its database."""

MAX_FAILURES = 20
MAX_TEXT_BYTES = 120
"""Of the reason and of the field of a failure, in UTF-8."""

_ELLIPSIS = "..."


def summary_xcom(
    summary: Summary,
    failures: Iterable[ConversionResult],
    *,
    results_path: str | None,
    failures_path: str | None,
) -> dict[str, Any]:
    """Return the summary: the numbers, the paths, and as many of the first failures as fit into an XCom.

    :param summary: the numbers of the run.
    :param failures: the first leads that ended as ``failed`` or ``unknown``.
    """
    xcom: dict[str, Any] = {
        **msgspec.structs.asdict(summary),
        "results_path": results_path,
        "failures_path": failures_path,
        "failures": [_failure(result) for result, _ in zip(failures, range(MAX_FAILURES), strict=False)],
    }
    while xcom["failures"] and len(json.dumps(xcom)) > MAX_BYTES:
        xcom["failures"].pop()
    return xcom


def cut(text: str) -> str:
    """Return the beginning of a text, at most :data:`MAX_TEXT_BYTES` long in UTF-8."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_TEXT_BYTES:
        return text
    return encoded[: MAX_TEXT_BYTES - len(_ELLIPSIS)].decode("utf-8", "ignore") + _ELLIPSIS


def _failure(result: ConversionResult) -> dict[str, Any]:
    from airflow_provider_leadconv.bulk.outputs.records import ResultError

    error = ResultError.of(result.error) if result.error else ResultError()
    return {
        "lead_id": result.lead_id,
        "status": str(result.status),
        "http_status": error.http_status,
        "field": cut(error.field) if error.field else None,
        "reason": cut(error.text),
    }
