"""What must be true of every history of the sandbox, whatever a test is about."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from airflow_provider_leadconv.sandbox.history import History, LoggedRequest, RecordedConversion
from airflow_provider_leadconv.sandbox.schemas import Conversion

USER_AGENT = "airflow-provider-leadconv/"
JITTER = 1.0
"""Seconds that a request may be late on a busy machine, so that it arrives together with later ones."""

CLOCK_ERROR = 0.1
"""Seconds by which the time of a file may differ from ours: the kernel stamps files with a coarser clock."""


@dataclass(frozen=True)
class Reported:
    """The results of one run: a results file.

    :param where: its name.
    :param lines: its lines, with ``lead_id``, ``status`` and ``conversion_id``.
    :param at: when it was written, in seconds of the monotonic clock.
    """

    where: str
    lines: list[Mapping[str, Any]]
    at: float


@dataclass(frozen=True)
class Summary:
    """How many leads a bulk run says it converted.

    :param where: name of its task.
    """

    where: str
    converted: int


@dataclass(frozen=True)
class Exported:
    """What a reader sees of an export, or other conversions that a task has returned.

    :param where: name of its file, folder or task.
    :param rows: its rows, with all columns.
    :param started: when the export began, in seconds of the monotonic clock; None if it may lack rows.
    :param finished: when it ended.
    :param filters: the filters that were set.
    """

    where: str
    rows: list[Mapping[str, Any]]
    started: float | None
    finished: float
    filters: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """The ``requests_per_second`` of a client, and when it was made."""

    rate: float
    since: float


@dataclass(frozen=True)
class ForeignRequest:
    """A request that reached another host than the sandbox.

    :param url: which one.
    :param token_hash: start of the SHA-256 of its token; None if it had none.
    """

    url: str
    token_hash: str | None


def check(
    history: History,
    *,
    reported: Iterable[Reported] = (),
    summaries: Iterable[Summary] = (),
    exported: Iterable[Exported] = (),
    limits: Iterable[Limit] = (),
    elsewhere: Iterable[ForeignRequest] = (),
) -> list[str]:
    """Compare what we did and reported with what happened.

    :param history: of the sandbox.
    :param reported: results of bulk runs.
    :param summaries: of bulk runs.
    :param exported: exports.
    :param limits: of all clients; none if they are not known.
    :param elsewhere: requests to other hosts.
    :return: the violations, in words.
    """
    facts = _Facts(history)
    violations = list(facts.double_conversions())
    for results in reported:
        violations += facts.false_results(results)
    for summary in summaries:
        violations += facts.false_summary(summary)
    for export in exported:
        violations += facts.false_rows(export)
        violations += facts.missing_rows(export)
    violations += _requests_above_the_rate(facts.ours, sorted(limits, key=lambda limit: limit.since))
    violations += facts.disclosed_tokens(elsewhere)
    return violations


class _Facts:
    """A history, indexed."""

    def __init__(self, history: History) -> None:
        self.ours = [request for request in history.requests if _is_ours(request)]
        self._tokens = set(history.tokens)
        self._requests = {request.request_id: request for request in self.ours if request.request_id}
        self._conversions = {each.conversion.id: each for each in history.conversions}
        self._by_lead: dict[int, list[RecordedConversion]] = defaultdict(list)
        for each in history.conversions:
            self._by_lead[each.conversion.lead_id].append(each)
        self._posts: dict[int, list[LoggedRequest]] = defaultdict(list)
        for request in self.ours:
            if request.method == "POST" and (lead_id := _lead_of(request)) is not None:
                self._posts[lead_id].append(request)

    def double_conversions(self) -> Iterator[str]:
        first_request = min((request.time for request in self.ours), default=0.0)
        for lead_id in self._posts:
            by_us = self._made_by_us(lead_id)
            if len(by_us) > 1:
                yield f"lead {lead_id} was converted {len(by_us)} times by us: conversions {_ids(by_us)}"
            known = [each for each in self._by_lead[lead_id] if each.listed_from < first_request]
            if by_us and known:
                yield (
                    f"lead {lead_id} was converted by us (conversion {by_us[0].conversion.id}), "
                    f"though conversion {known[0].conversion.id} was listed before our first request"
                )

    def false_results(self, results: Reported) -> Iterator[str]:
        for lead_id, number in Counter(line["lead_id"] for line in results.lines).items():
            if number > 1:
                yield f"{results.where} has {number} results of lead {lead_id}"
        for line in results.lines:
            if problem := self._problem_of(line, results.at):
                yield f"{results.where} says that lead {line['lead_id']} is {line['status']}, but {problem}"

    def false_summary(self, summary: Summary) -> Iterator[str]:
        ours = [lead_id for lead_id in self._posts if self._made_by_us(lead_id) or self._looks_like_ours(lead_id)]
        if summary.converted > len(ours):
            yield f"{summary.where} says that {summary.converted} leads were converted, but we converted {len(ours)}"

    def _problem_of(self, line: Mapping[str, Any], at: float) -> str | None:
        lead_id, status = line["lead_id"], line["status"]
        if status in {"converted", "existing"}:
            return self._problem_of_conversion(lead_id, status, line.get("conversion_id"), at)
        if status == "unknown":
            sent = any(request.time <= at + CLOCK_ERROR for request in self._posts[lead_id])
            return None if sent else "no conversion of it was sent"
        if status not in {"failed", "not_attempted", "would_convert"}:
            return "there is no such status"
        by_us = [each for each in self._made_by_us(lead_id) if self._requests[each.request_id].time <= at]
        return f"we made conversions {_ids(by_us)} of it" if by_us else None

    def _problem_of_conversion(self, lead_id: int, status: str, conversion_id: int | None, at: float) -> str | None:
        if conversion_id is None:
            return None if self._by_lead[lead_id] else "it has no conversion"
        found = self._conversions.get(conversion_id)
        if found is None or found.conversion.lead_id != lead_id:
            return f"conversion {conversion_id} is not one of its conversions {_ids(self._by_lead[lead_id])}"
        if found.made_at > at + CLOCK_ERROR:
            return f"conversion {conversion_id} was made only later"
        if status == "converted" and found not in self._made_by_us(lead_id) and not self._looks_like_ours(lead_id):
            return f"conversion {conversion_id} was made by another user"
        return None

    def _looks_like_ours(self, lead_id: int) -> bool:
        """Whether the API has said so: a 2xx with an existing record, or a 409, which says nothing about who it was."""
        making = {each.request_id for each in self._made_by_us(lead_id)}
        answers = {request.status for request in self._posts[lead_id] if request.request_id not in making}
        return bool(answers & {200, 201, 409})

    def false_rows(self, export: Exported) -> Iterator[str]:
        if damaged := [row for row in export.rows if not row.keys() >= set(Conversion.__struct_fields__)]:
            yield f"{export.where} has a row that is no conversion: {damaged[0]}"
            return
        for conversion_id, number in Counter(int(row["id"]) for row in export.rows).items():
            if number > 1:
                yield f"{export.where} has conversion {conversion_id} {number} times"
        for row in export.rows:
            found = self._conversions.get(int(row["id"]))
            if found is None:
                yield f"{export.where} has conversion {row['id']}, which there is not"
            elif min(found.listed_from, found.found_from) > export.finished + CLOCK_ERROR:
                yield f"{export.where} has conversion {row['id']}, which was not visible yet"
            elif wrong := _wrong_columns(row, found):
                yield f"{export.where} has conversion {row['id']} with a wrong {', '.join(wrong)}"
            elif not _matches(found, export.filters):
                yield f"{export.where} has conversion {row['id']}, which does not match {dict(export.filters)}"

    def missing_rows(self, export: Exported) -> Iterator[str]:
        if export.started is None:
            return
        exported = {int(row["id"]) for row in export.rows if "id" in row}
        for conversion_id, each in self._conversions.items():
            is_visible = max(each.listed_from, each.made_at) <= export.started - CLOCK_ERROR
            was_removed = each.removed_at is not None and each.removed_at <= export.finished
            if is_visible and not was_removed and conversion_id not in exported and _matches(each, export.filters):
                yield f"{export.where} lacks conversion {conversion_id}, which was visible when the export began"

    def disclosed_tokens(self, elsewhere: Iterable[ForeignRequest]) -> Iterator[str]:
        for request in elsewhere:
            if request.token_hash in self._tokens:
                yield f"{request.url} was sent the token"

    def _made_by_us(self, lead_id: int) -> list[RecordedConversion]:
        return [each for each in self._by_lead[lead_id] if each.request_id in self._requests]


def _is_ours(request: LoggedRequest) -> bool:
    return request.headers.get("user-agent", "").startswith(USER_AGENT)


def _lead_of(request: LoggedRequest) -> int | None:
    try:
        lead_id = json.loads(request.body)["data"]["lead_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return lead_id if isinstance(lead_id, int) else None


def _ids(conversions: Iterable[RecordedConversion]) -> list[int]:
    return [each.conversion.id for each in conversions]


def _matches(each: RecordedConversion, filters: Mapping[str, int]) -> bool:
    return all(getattr(each.conversion, name) == value for name, value in filters.items())


def _wrong_columns(row: Mapping[str, Any], found: RecordedConversion) -> list[str]:
    return [
        name for name, value in msgspec.structs.asdict(found.conversion).items() if _text(row[name]) != _text(value)
    ]


def _text(value: object) -> str:
    """A value as CSV has it; Parquet has times, and databases have them in their own form."""
    if value is None:
        return ""
    return f"{value:%Y-%m-%dT%H:%M:%SZ}" if hasattr(value, "tzinfo") else str(value)


def _requests_above_the_rate(requests: list[LoggedRequest], limits: list[Limit]) -> Iterator[str]:
    """Requests that no order of ``limits`` allows: a token bucket, to which each client adds its rate."""
    if not limits:
        return
    pending, rate, tokens, before = list(limits), 0.0, 0.0, limits[0].since
    for request in sorted(requests, key=lambda request: request.time):
        while pending and pending[0].since <= request.time:
            limit = pending.pop(0)
            tokens += rate * (limit.since - before) + 1.0 + JITTER * limit.rate
            rate, before = rate + limit.rate, limit.since
        capacity = JITTER * rate + (len(limits) - len(pending))
        tokens = min(capacity, tokens + rate * max(0.0, request.time - before)) - 1.0
        before = max(before, request.time)
        if tokens < 0:
            yield f"more than {rate:g} requests per second at {request.time:.3f}: {request.method} {request.path}"
            return
