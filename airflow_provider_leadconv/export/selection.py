"""Selection of the conversions of an export: filters and a time range."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import InvalidRequestError, InvalidResponseError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.progress import duration

log = logging.getLogger(__name__)

SLACK = timedelta(hours=1)
"""Tolerance of a time range: ``created_at`` may deviate from the order of the ids by less than this."""

VISIBLE_AFTER = timedelta(minutes=5)
"""Delay between the end of a time range and its export, so that late conversions are included."""


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The conversions to export.

    :param query: the filters.
    :param created_from: only conversions created at this time or later.
    :param created_until: only conversions created before this time.
    :raises InvalidRequestError: if the time range is empty.
    """

    query: ListQuery
    created_from: datetime | None = None
    created_until: datetime | None = None

    def __post_init__(self) -> None:
        if self.created_from and self.created_until and self.created_from >= self.created_until:
            raise InvalidRequestError(
                f"created_from ({self.created_from}) must be before created_until ({self.created_until}); "
                "data intervals are empty without a timetable that makes some, such as CronDataIntervalTimetable"
            )

    @property
    def has_time_range(self) -> bool:
        """Whether the selection has a time range."""
        return self.created_from is not None or self.created_until is not None

    def select(self, rows: Iterable[LeadConversion]) -> list[LeadConversion]:
        """Return the rows in the time range.

        :raises InvalidResponseError: if a row has no valid ``created_at``; the message names it.
        """
        if not self.has_time_range:
            return list(rows)
        start, end = self.created_from, self.created_until
        return [row for row in rows if (start is None or start <= _time(row)) and (end is None or _time(row) < end)]

    def ends_above(self, rows: Sequence[LeadConversion]) -> bool:
        """Return whether a page is so old that all later pages are before the time range."""
        start = self.created_from
        return start is not None and bool(rows) and all(_time(row) < start - SLACK for row in rows)


def as_time(value: datetime | str | None, name: str) -> datetime | None:
    """Parse a time as templates render it.

    :param value: a datetime or ISO 8601 text; without an offset it is UTC.
    :param name: name of the value in error messages.
    :return: the time in UTC.
    :raises InvalidRequestError: if it is neither.
    """
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, AttributeError) as error:
        raise InvalidRequestError(f"{name} must be a time such as 2026-11-23T00:00:00+00:00, got {value!r}") from error


def _time(row: LeadConversion) -> datetime:
    moment = row.created_at
    if moment is None:
        raise InvalidResponseError(
            f"conversion {row.id} has no readable created_at ({row.created_at_raw!r:.80}), so it cannot be compared "
            "with created_from and created_until",
            remedy="Export without created_from and created_until.",
        )
    return moment


def wait_for_late_conversions(client: LeadConversionsClient, selection: Selection) -> None:
    """Wait until the time range is over and all conversions created in it are visible."""
    if selection.created_until is None:
        return
    while (left := (selection.created_until + VISIBLE_AFTER - datetime.now(UTC)).total_seconds()) > 0:
        log.info(
            "%s left: waiting until %s after created_until (%s), for conversions that become visible late",
            duration(left),
            duration(VISIBLE_AFTER.total_seconds()),
            selection.created_until,
        )
        client.sleep(min(left, 10.0))
