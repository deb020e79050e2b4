"""Queries of the listing: page size, cursor and filters, validated before a request is sent.

Source of the parameters and their ranges: the vendor's page on ``/v2/lead_conversions``.
"""

from __future__ import annotations

from typing import TypedDict
from urllib.parse import quote, urlencode

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.http import Request
from airflow_provider_leadconv.api.models import as_id

MAX_PAGE = 50
MAX_PER_PAGE = 200
# A cursor is sent as it was in the link; only characters that are invalid in any query string are quoted.
_CURSOR_SAFE = "%+/=-._~:!$'()*,;@?"


class Filters(TypedDict, total=False):
    """Filters of the listing, combined with AND.

    ``lead_id``: the converted lead. ``individual_id``, ``organization_id``, ``deal_id``: the records created from it.
    ``creator_id``: the user who converted it. All are ids: ints, or strings of digits as templates render them.
    """

    lead_id: int | str | None
    individual_id: int | str | None
    organization_id: int | str | None
    deal_id: int | str | None
    creator_id: int | str | None


FILTERS = tuple(Filters.__annotations__)


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query of the listing. Its filters are those of :class:`Filters`.

    :param per_page: rows per page, 1 to 200. The API's own default is 25; 200 needs the fewest requests.
    :param page: number of the page, 1 to 50; the API requires a cursor for later pages.
    :param cursor: ``Page.next_cursor`` of the previous page, sent unchanged.
    :raises InvalidRequestError: if a parameter is out of range; the message names it.
    """

    per_page: int = MAX_PER_PAGE
    page: int | None = None
    cursor: str | None = None
    lead_id: int | str | None = None
    individual_id: int | str | None = None
    organization_id: int | str | None = None
    deal_id: int | str | None = None
    creator_id: int | str | None = None

    def __post_init__(self) -> None:
        _check_range("per_page", self.per_page, MAX_PER_PAGE)
        if self.page is not None:
            _check_range(
                "page", self.page, MAX_PAGE, hint="; for later pages, pass the next_cursor of a page as cursor"
            )
        if self.page is not None and self.cursor is not None:
            raise InvalidRequestError("pass page or cursor, not both")
        for name in FILTERS:
            value = getattr(self, name)
            if value is not None:
                msgspec.structs.force_setattr(self, name, as_id(value, name))

    @property
    def filters(self) -> dict[str, int]:
        """The filters that are set, by name."""
        values = {name: getattr(self, name) for name in FILTERS}
        return {name: value for name, value in values.items() if value is not None}

    def request(self) -> Request:
        """Return the request for this page."""
        parameters = {"page": self.page} if self.page is not None else {}
        query = urlencode({**parameters, "per_page": self.per_page, **self.filters})
        if self.cursor is not None:
            query = f"{query}&cursor={quote(self.cursor, safe=_CURSOR_SAFE)}"
        return Request(method="GET", query=query)


def _check_range(name: str, value: object, maximum: int, hint: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise InvalidRequestError(f"{name} must be an integer from 1 to {maximum}, got {value!r:.80}{hint}")
