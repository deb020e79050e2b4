"""The numbers of a bulk run, and the text of its error: which leads were not converted, and why."""

from __future__ import annotations

from collections import Counter

import msgspec

from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.api.models import ConversionResult, ConversionStatus

_SHOWN = 10
_KEPT = 20
_SHOWN_REASON = 200


class Summary(msgspec.Struct, kw_only=True):
    """The numbers of a run.

    :param leads: how many leads the batch has, each counted once.
    :param duplicates: how many of them have more than one conversion.
    :param precheck_api_calls: requests to find out what is converted already.
    :param precheck_duration_s: seconds until that was known of every lead. Conversions are sent meanwhile.
    """

    leads: int
    converted: int = 0
    existing: int = 0
    failed: int = 0
    unknown: int = 0
    not_attempted: int = 0
    would_convert: int = 0
    duplicates: int = 0
    api_calls: int = 0
    precheck_api_calls: int = 0
    duration_s: float = 0.0
    precheck_duration_s: float = 0.0

    def __str__(self) -> str:
        words = (
            ConversionStatus.CONVERTED,
            ConversionStatus.EXISTING,
            ConversionStatus.FAILED,
            ConversionStatus.UNKNOWN,
            ConversionStatus.NOT_ATTEMPTED,
        )
        counts = {word.value.replace("_", " "): getattr(self, word.value) for word in words}
        counts |= {"would be converted": self.would_convert, "CONVERTED TWICE": self.duplicates}
        text = ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to do"
        return f"{self.leads} leads: {text}; {self.api_calls} requests in {self.duration_s:.1f} s"


class Failures:
    """The leads that ended as ``failed`` or ``unknown``."""

    def __init__(self) -> None:
        self.first: list[ConversionResult] = []
        """The first of them."""
        self._codes: Counter[str] = Counter()

    def note(self, result: ConversionResult) -> None:
        """Count a result, if it is a failure."""
        if result.status not in (ConversionStatus.FAILED, ConversionStatus.UNKNOWN):
            return
        self._codes[_code(result)] += 1
        if len(self.first) < _KEPT:
            self.first.append(result)

    def text(self, summary: Summary, stopped_by: LeadConversionError | None) -> str:
        """Return how many leads were not converted with which code, the first of them, and how many had no turn.

        :param stopped_by: why the run ended before its last lead.
        """
        lines = []
        if failures := summary.failed + summary.unknown:
            codes = ", ".join(f"{count} x {code}" for code, count in self._codes.most_common(_SHOWN))
            lines.append(f"{failures} of {summary.leads} leads were not converted: {codes}")
            lines += [f"  lead {bad.lead_id} {bad.status}: {_reason(bad)}" for bad in self.first[:_SHOWN]]
            if failures > _SHOWN:
                lines.append(f"  and {failures - _SHOWN} more")
        if summary.not_attempted:
            reason = str(stopped_by or "the run was stopped").rstrip(".")
            lines.append(f"{summary.not_attempted} of {summary.leads} leads were not attempted: {reason}")
        return "\n".join(lines)


def _code(result: ConversionResult) -> str:
    error = result.error
    if result.status is ConversionStatus.UNKNOWN or error is None:
        return "unknown"
    fields = [entry.field.rpartition("/")[2] for entry in error.field_errors[:1] if entry.field]
    return " ".join(str(part) for part in (error.status_code, error.code, *fields) if part)


def _reason(result: ConversionResult) -> str:
    reason = result.error.message if result.error else "no reason known"
    return reason if len(reason) <= _SHOWN_REASON else f"{reason[:_SHOWN_REASON]}..."
