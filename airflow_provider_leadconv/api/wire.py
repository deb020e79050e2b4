"""What goes over the wire: requests from records, records from answers. No I/O.

Facts: the vendor's page on ``/v2/lead_conversions``; error bodies and status codes as documented and as seen by
other clients of the same API.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.api.messages import Answer, Request
from airflow_provider_leadconv.api.records import ConversionRequest, LeadConversion, Page, as_id
from airflow_provider_leadconv.api.refusals import refusal, unusable

MAX_PAGE = 50
MAX_PER_PAGE = 200
_T = TypeVar("_T")
# A cursor stands in our query as it stood in the link; only what cannot stand in any query is quoted.
_CURSOR_SAFE = "%+/=-._~:!$'()*,;@?"


class Filters(TypedDict, total=False):
    """What a listing can be narrowed by. Filters combine with AND.

    ``lead_id``: the lead that was converted. ``individual_id``, ``organization_id``, ``deal_id``: what it became.
    ``creator_id``: the user who converted it. All are ids: ints, or strings of digits as templates render them.
    """

    lead_id: int | str | None
    individual_id: int | str | None
    organization_id: int | str | None
    deal_id: int | str | None
    creator_id: int | str | None


FILTERS = tuple(Filters.__annotations__)


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing asks for; the filters are those of :class:`Filters`.

    :param per_page: rows a page, 1 to 200. The API's own default is 25; 200 makes the fewest requests.
    :param page: number of the page, 1 to 50; beyond that the API wants a cursor.
    :param cursor: ``Page.next_cursor`` of the page before; passed on byte for byte.
    :raises InvalidRequestError: naming the parameter that is out of range.
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
            _check_range("page", self.page, MAX_PAGE, hint="; to read further, pass the next_cursor of a page")
        if self.page is not None and self.cursor is not None:
            raise InvalidRequestError("page and cursor exclude each other")
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
        """:return: the request for this page."""
        parameters = {"page": self.page} if self.page is not None else {}
        query = urlencode({**parameters, "per_page": self.per_page, **self.filters})
        if self.cursor is not None:
            query = f"{query}&cursor={quote(self.cursor, safe=_CURSOR_SAFE)}"
        return Request(method="GET", query=query)


def conversion_request(lead: ConversionRequest) -> Request:
    """:return: the POST that converts the lead. What is ``None`` is left out, so that the API's default holds."""
    fields = {name: value for name, value in msgspec.structs.asdict(lead).items() if value is not None}
    return Request(method="POST", body=msgspec.json.encode({"data": fields}))


def read_page(answer: Answer, query: ListQuery) -> Page:
    """Read the answer to a listing.

    :param query: what was asked; rows that contradict its filters are an error.
    :raises LeadConversionError: of the class that fits what the server said.
    :raises InvalidResponseError: if the page is unreadable, lacks its items, or contradicts its own count.
    """
    try:
        envelope = _read("GET", answer, _decode_page)
    except InvalidRequestError as error:
        # Whether a look-up that finds nothing gets an empty page or a 404 is not documented.
        if error.code == "not_found" and error.status == 404 and query.filters and query.cursor is None:
            return Page(conversions=[])
        raise
    conversions = envelope.conversions
    count = envelope.meta.count if envelope.meta else None
    if count is not None and (count > 0 if not conversions else count < len(conversions)):
        raise unusable("GET", answer, f"a page that says it has {count} items and has {len(conversions)}")
    for name, wanted in query.filters.items():
        for conversion in conversions:
            if getattr(conversion, name) != wanted:
                found = f"conversion {conversion.id} with {name} {getattr(conversion, name)}"
                raise unusable("GET", answer, f"{found} to a listing of {name} {wanted}")
    return Page(conversions=conversions, next_cursor=_next_cursor(answer, envelope.meta))


def read_conversion(answer: Answer, lead: ConversionRequest) -> LeadConversion:
    """Read the answer to a POST.

    :raises UnknownOutcomeError: for every answer that does not prove what became of the lead, be it a 2xx.
    :raises LeadConversionError: of the class that fits the refusal.
    """
    conversion = _read("POST", answer, _decode_single)
    if conversion.lead_id != lead.lead_id:
        raise unusable("POST", answer, f"a conversion of lead {conversion.lead_id}, not {lead.lead_id}")
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
    raw = bytes(data)  # a copy, or each kept record would keep its whole page
    conversion = _decode_conversion(raw)
    msgspec.structs.force_setattr(conversion, "raw", raw)
    return conversion


def _read(method: str, answer: Answer, decode: Callable[[bytes], _T]) -> _T:
    """Decode a 2xx; anything else, and a 2xx that is not what was asked for, becomes the error it stands for."""
    if 200 <= answer.status < 300:
        try:
            if not answer.body.isascii():  # which is the cheaper question
                answer.body.decode()  # msgspec does not look into what it keeps raw
            return decode(answer.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = f"an unreadable body ({error})"
    else:
        problem = "no success"
    raise refusal(method, answer) or unusable(method, answer, problem)


def _next_cursor(answer: Answer, meta: _Meta | None) -> str | None:
    """The cursor of the next page's link, as it stands there. The link's host and path mean nothing to us."""
    link = meta.links.next_page if meta and meta.links else None
    if not link:
        return None
    query = link.partition("#")[0].partition("?")[2] if isinstance(link, str) else ""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name == "cursor" and value:
            return value
    raise unusable("GET", answer, "a next page whose link has no cursor")


def _check_range(name: str, value: object, maximum: int, hint: str = "") -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
        raise InvalidRequestError(f"{name} must be an integer from 1 to {maximum}, got {value!r:.80}{hint}")
