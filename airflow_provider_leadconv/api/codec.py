"""Encoding of requests and decoding of responses. No I/O.

Sources: the vendor's page on ``/v2/lead_conversions``; error bodies and status codes as documented, and as observed by
other clients of the API.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple, TypeVar

import msgspec

from airflow_provider_leadconv.api.error_mapping import error_from_response, unusable_response
from airflow_provider_leadconv.api.exceptions import JSON_ERRORS, InvalidRequestError
from airflow_provider_leadconv.api.http import Request, Response
from airflow_provider_leadconv.api.models import ConversionRequest, LeadConversion, Page
from airflow_provider_leadconv.api.queries import ListQuery

_T = TypeVar("_T")

MAX_DEPTH = 100
"""Levels of a record's nesting. What is deeper could be read here, and would fail in whatever writes it on."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_CHANGES = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""What each bracket does to the depth, as signed bytes."""


def conversion_request(lead: ConversionRequest) -> Request:
    """Return the POST that converts a lead. Fields that are ``None`` are omitted, so the API's defaults apply."""
    fields = {name: value for name, value in msgspec.structs.asdict(lead).items() if value is not None}
    return Request(method="POST", body=msgspec.json.encode({"data": fields}))


def read_page(response: Response, query: ListQuery, *, check_count: bool = True) -> Page:
    """Decode the response to a listing request.

    :param query: the query that was sent; rows that do not match its filters are an error.
    :param check_count: whether a count that contradicts the items is an error.
    :return: the page.
    :raises InvalidResponseError: if the page cannot be decoded, lacks its items, or contradicts its own count.
    :raises LeadConversionError: for a response that is not a success; the class depends on the response.
    """
    try:
        envelope = _read("GET", response, _decode_page)
    except InvalidRequestError as error:
        # The documentation does not say whether a look-up without a match gets an empty page or a 404.
        if error.code == "not_found" and error.status_code == 404 and query.filters and query.cursor is None:
            return Page(conversions=[])
        raise
    conversions = envelope.conversions
    total = _check_count(response, envelope, query) if check_count else None
    for name, wanted in query.filters.items():
        for conversion in conversions:
            if getattr(conversion, name) != wanted:
                found = f"conversion {conversion.id} of {name} {getattr(conversion, name)}"
                raise unusable_response("GET", response, f"{found} to a query for {name} {wanted}")
    return Page(conversions=conversions, next_cursor=_next_cursor(response, envelope.meta), total=total)


def _check_count(response: Response, envelope: _Listing, query: ListQuery) -> int | None:
    """Check ``meta.count``, whose meaning is not documented.

    In the vendor's example it is the number of items on the page. A number above the page size can only be a total.
    Anything else is a page with rows missing.

    :return: the total of the listing, if that is what the page counts.
    """
    items, count = len(envelope.conversions), envelope.meta.count if envelope.meta else None
    if count is None or count == items:
        return None
    if count > max(items, query.per_page):
        return count
    # Fewer may be another way of counting; more cannot be.
    remedy = (
        'Run the task again. If each page counts like this, set "check_count": false in the extra of the connection.'
        if items < count
        else None
    )
    raise unusable_response("GET", response, f"a page of {items} items whose meta.count is {count}", remedy=remedy)


def read_conversion(response: Response, lead: ConversionRequest) -> LeadConversion:
    """Decode the response to a POST.

    :return: the conversion.
    :raises UnknownOutcomeError: for every response that leaves the outcome open, including an invalid 2xx.
    :raises LeadConversionError: for a response that is not a success; the class depends on the response.
    """
    conversion = _read("POST", response, _decode_single)
    if conversion.lead_id != lead.lead_id:
        raise unusable_response("POST", response, f"a conversion of lead {conversion.lead_id}, not of {lead.lead_id}")
    return conversion


class _Item(msgspec.Struct):
    data: msgspec.Raw


class _Links(msgspec.Struct):
    next_page: Any = None


class _Meta(msgspec.Struct):
    count: int | None = None
    links: _Links | None = None


class _Envelope(msgspec.Struct):
    items: list[_Item]
    meta: _Meta | None = None


class _Listing(NamedTuple):
    conversions: list[LeadConversion]
    meta: _Meta | None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_item = msgspec.json.Decoder(_Item).decode
_decode_conversion = msgspec.json.Decoder(LeadConversion).decode


def _decode_page(body: bytes) -> _Listing:
    envelope = _decode_envelope(body)
    return _Listing([_conversion(item.data) for item in envelope.items], envelope.meta)


def _decode_single(body: bytes) -> LeadConversion:
    return _conversion(_decode_item(body).data)


def _conversion(data: msgspec.Raw) -> LeadConversion:
    raw = bytes(data)  # a copy, so that a record does not keep the whole page in memory
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        raise RecursionError(f"a record is nested more than {MAX_DEPTH} levels deep")
    conversion = _decode_conversion(raw)
    msgspec.structs.force_setattr(conversion, "raw", raw)
    return conversion


def _depth(raw: bytes) -> int:
    """Return how many levels deep a JSON document is nested. Brackets in texts count, as telling them apart is slow."""
    return max(accumulate(array("b", raw.translate(_CHANGES, delete=_NO_BRACKETS))))


def _read(method: str, response: Response, decode: Callable[[bytes], _T]) -> _T:
    """Decode a 2xx. Raise the matching error for any other response and for a 2xx that cannot be decoded."""
    if 200 <= response.status_code < 300:
        try:
            if not response.body.isascii():  # the cheaper check
                response.body.decode()  # msgspec does not validate the UTF-8 of Raw fields
            return decode(response.body)
        except JSON_ERRORS as error:
            problem = f"an unreadable body ({error})"
    else:
        problem = "an unexpected status"
    raise error_from_response(method, response) or unusable_response(method, response, problem)


def _next_cursor(response: Response, meta: _Meta | None) -> str | None:
    """Return the cursor of the next page's link, unchanged. The link's host and path are ignored."""
    link = meta.links.next_page if meta and meta.links else None
    if not link:
        return None
    query = link.partition("#")[0].partition("?")[2] if isinstance(link, str) else ""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "cursor" and value:
            return value
    raise unusable_response("GET", response, "a link to the next page that has no cursor")
