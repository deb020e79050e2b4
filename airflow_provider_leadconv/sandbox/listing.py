"""GET: one page of the conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from airflow_provider_leadconv.sandbox.parsing import next_page_url
from airflow_provider_leadconv.sandbox.schemas import ConversionDocument, Page, PageLinks, PageMeta

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox.parsing import ListingQuery
    from airflow_provider_leadconv.sandbox.settings import SandboxSettings
    from airflow_provider_leadconv.sandbox.store import Store


class Listing(NamedTuple):
    """A listing request, and where its page comes from."""

    store: Store
    settings: SandboxSettings
    query: ListingQuery
    link_base: str

    def page(self, rows: int | None = None) -> Page:
        """Return the page that was requested.

        :param rows: the most rows on it; None for the page size of the query.
        """
        query = self.query
        rows = query.per_page if rows is None else rows
        # One more row shows whether there is a next page.
        found = self.store.find(query.filters, below=query.below, offset=query.offset, limit=rows + 1)
        items = [ConversionDocument.from_record(conversion, self.link_base) for conversion in found[:rows]]
        link = self.link_below(items[-1].data.id) if len(found) > rows else UNSET
        return Page(items=items, meta=PageMeta(count=len(items), links=PageLinks(next_page=link)))

    def link_below(self, conversion_id: int) -> str:
        """Return the link to the page that starts below a conversion."""
        return next_page_url(self.link_base, conversion_id, self.query.per_page)
