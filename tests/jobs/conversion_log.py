"""The listing without a server, and what it was asked."""

from __future__ import annotations

from airflow_provider_leadconv.api.records import LeadConversion, Page
from airflow_provider_leadconv.api.wire import ListQuery


class ConversionLog:
    """Conversions, newest first; every third id exists."""

    def __init__(self) -> None:
        self.rows: list[LeadConversion] = []
        self.requests = 0

    def convert(self, *lead_ids: int) -> None:
        for lead_id in lead_ids:
            newest = self.rows[0].id if self.rows else 0
            self.rows.insert(0, LeadConversion(id=newest + 3, lead_id=lead_id))

    def get_page(self, query: ListQuery) -> Page:
        self.requests += 1
        rows = [row for row in self.rows if query.cursor is None or row.id < int(query.cursor)]
        page = rows[: query.per_page]
        return Page(conversions=page, next_cursor=str(page[-1].id) if len(rows) > len(page) else None)

    def find(self, query: ListQuery) -> LeadConversion | None:
        self.requests += 1
        return next((row for row in self.rows if row.lead_id == query.lead_id), None)


def others(number: int) -> range:
    """Leads that nobody waits for."""
    return range(10**9, 10**9 + number)
