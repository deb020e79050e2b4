"""GET: one page of the conversions, right or spoilt by a fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from airflow_provider_leadconv.sandbox.parsing import ListingQuery, next_page_url
from airflow_provider_leadconv.sandbox.schemas import ConversionDocument, Page, PageLinks, PageMeta

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_leadconv.sandbox.settings import Settings
    from airflow_provider_leadconv.sandbox.store import Store

REPEATED_ROWS = 3


def list_page(store: Store, settings: Settings, query: ListingQuery, fault: str | None = None) -> object:
    """Answer a listing request.

    :param fault: name of a fault that spoils the page; None for none.
    :return: a :class:`Page`, or something else where a fault says so.
    """
    for _ in range(settings.arrivals):
        store.add_conversion()
    if fault == "ignored_filter":
        query = msgspec.structs.replace(query, filters={})
    if fault == "repeat_rows" and query.below is not None:
        query = msgspec.structs.replace(query, below=_higher(store, query, query.below))
    rows = query.per_page
    if fault == "short_page":
        rows = max(1, rows // 2)
    page = _page(store, settings, query, rows)
    if fault in _RELINKED:
        page = _relinked(page, settings, query, store)
    return _SPOILERS[fault](page, store, settings) if fault in _SPOILERS else page


def _page(store: Store, settings: Settings, query: ListingQuery, rows: int) -> Page:
    # One row more than asked for tells whether there is a next page.
    found = store.find(query.filters, below=query.below, offset=query.offset, limit=rows + 1)
    link = next_page_url(settings.link_base, found[rows - 1].id, query.per_page) if len(found) > rows else UNSET
    items = [ConversionDocument.of(conversion, settings.link_base) for conversion in found[:rows]]
    return Page(items=items, meta=PageMeta(count=len(items), links=PageLinks(next_page=link)))


def _higher(store: Store, query: ListingQuery, below: int) -> int:
    """:return: the cursor's id, moved up by a few rows, but fewer than the page has."""
    step = min(REPEATED_ROWS, query.per_page - 1)
    if not step:
        return below
    distance = 4 * step
    while True:
        found = store.find(query.filters, below=below + distance, limit=distance)
        above = [conversion.id for conversion in found if conversion.id >= below]
        if len(above) >= step or below + distance > store.top:
            return above[-step:][0] + 1 if above else below
        distance *= 2


_RELINKED = ("repeat_cursor", "empty_page")


def _relinked(page: Page, settings: Settings, query: ListingQuery, store: Store) -> Page:
    """:return: the page with a link that leads to the same page again."""
    first = page.items[0].data.id + 1 if page.items else store.top
    start = query.below if query.below is not None else first
    link = next_page_url(settings.link_base, start, query.per_page)
    return Page(items=page.items, meta=PageMeta(count=page.meta.count, links=PageLinks(next_page=link)))


def _recounted(page: Page, items: list[ConversionDocument], count: int) -> Page:
    return Page(items=items, meta=PageMeta(count=count, links=page.meta.links))


def _rising(page: Page, store: Store, settings: Settings) -> Page:
    newcomer = ConversionDocument.of(store.add_conversion(), settings.link_base)
    return _recounted(page, [newcomer, *page.items], page.meta.count + 1)


def _foreign(page: Page, _: Store, settings: Settings) -> Page:
    link = page.meta.links.next_page
    if isinstance(link, str):
        link = settings.foreign_url + link.removeprefix(settings.link_base)
    return Page(items=page.items, meta=PageMeta(count=page.meta.count, links=PageLinks(next_page=link)))


_SPOILERS: dict[str | None, Callable[[Page, Store, Settings], object]] = {
    "null_items": lambda page, *_: {"items": None, "meta": page.meta},
    "missing_items": lambda page, *_: {"meta": page.meta},
    "count_too_high_empty": lambda page, *_: _recounted(page, [], max(1, page.meta.count)),
    "count_too_low": lambda page, *_: _recounted(page, page.items, max(0, page.meta.count - 1)),
    "empty_page": lambda page, *_: _recounted(page, [], 0),
    "rising_ids": _rising,
    "foreign_link": _foreign,
}
