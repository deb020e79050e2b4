"""What can go wrong on request: each fault with its effect. A new fault is declared here and nowhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airflow_provider_leadconv.sandbox.fault_kinds import (
    Corruption,
    DelayedVisibility,
    FaultContext,
    FaultKind,
    Method,
    PageCorruption,
    Replacement,
)
from airflow_provider_leadconv.sandbox.responses import html_response
from airflow_provider_leadconv.sandbox.schemas import (
    ConversionDocument,
    Page,
    PageLinks,
    conflict,
    incorrect_path,
    invalid_param,
    rate_limit_exceeded,
    simple_error,
)
from airflow_provider_leadconv.sandbox.transport import (
    CorruptedResponse,
    DelayedResponse,
    HangUp,
    PaddedBody,
    Response,
    TricklingBody,
    TricklingHeaders,
    TruncatedBody,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_leadconv.sandbox.listing import Listing

ThrottleShape = Literal["throttle_429", "throttle_429_empty", "throttle_404", "throttle_409"]

DEFAULT_SECONDS = 2.0
REPEATED_ROWS = 3
BARE_ERROR = {"status": 500, "error": "Internal Server Error"}


def _throttle(summary: str, respond: Callable[[FaultContext], Response]) -> Replacement:
    def effect(context: FaultContext) -> Response:
        response = respond(context)
        if context.settings.retry_after is not None:
            response.headers["Retry-After"] = str(context.settings.retry_after)
        return response

    return Replacement(summary, effect)


def _error_500(context: FaultContext) -> Response:
    return context.error(simple_error(500, "server_error", "Server error.", "An unexpected error occurred."))


def _error_410(context: FaultContext) -> Response:
    return context.error(simple_error(410, "gone", "Gone.", "Sell is retired."))


def _error_503(context: FaultContext) -> Response:
    message = "The service is temporarily unavailable."
    return context.error(simple_error(503, "temporarily_unavailable", "Unavailable.", message))


def _error_504_html(_: FaultContext) -> Response:
    return html_response(504, "504 Gateway Time-out")


def _redirect(context: FaultContext) -> Response:
    return Response(b"", 307, {"Location": f"{context.settings.foreign_url}/v2/lead_conversions"})


def _commit_late(context: FaultContext) -> Response:
    context.convert_later(context.seconds)
    return HangUp(context.response, 0.0)


def _sent_as(kind: type[CorruptedResponse]) -> Callable[[FaultContext], Response]:
    return lambda context: kind(context.response, context.seconds)


def _cut_json(context: FaultContext) -> Response:
    response = context.response
    return Response(response.body[: len(response.body) // 2], response.status_code, response.headers)


def _changed(page: Page, *, items: list[ConversionDocument] | None = None, **meta: object) -> Page:
    return Page(page.items if items is None else items, msgspec.structs.replace(page.meta, **meta))


def _repeat_cursor(listing: Listing) -> Page:
    page, below = listing.page(), listing.query.below
    if below is None:
        below = page.items[0].data.id + 1 if page.items else listing.store.top
    return _changed(page, links=PageLinks(listing.link_below(below)))


def _count_too_high_empty(listing: Listing) -> Page:
    page = listing.page()
    return _changed(page, items=[], count=max(1, page.meta.count))


def _count_too_low(listing: Listing) -> Page:
    page = listing.page()
    return _changed(page, count=max(0, page.meta.count - 1))


def _missing_rows(listing: Listing) -> Page:
    page = listing.page()
    return _changed(page, items=page.items[::2])


def _total_count(listing: Listing) -> Page:
    filters = listing.query.filters
    return _changed(listing.page(), count=len(listing.store.find(filters, limit=sys.maxsize)))


def _repeat_rows(listing: Listing) -> Page:
    query = listing.query
    if query.below is not None:
        query = msgspec.structs.replace(query, below=_higher(listing, query.below))
    return listing._replace(query=query).page()


def _higher(listing: Listing, below: int) -> int:
    """Return the cursor's id, moved up by a few rows, but fewer than the page has."""
    step = min(REPEATED_ROWS, listing.query.per_page - 1)
    if not step:
        return below
    distance = 4 * step
    while True:
        found = listing.store.find(listing.query.filters, below=below + distance, limit=distance)
        above = [conversion.id for conversion in found if conversion.id >= below]
        if len(above) >= step or below + distance > listing.store.top:
            return above[-step:][0] + 1 if above else below
        distance *= 2


def _rising_ids(listing: Listing) -> Page:
    page = listing.page()
    newest = ConversionDocument.from_record(listing.store.add_conversion(), listing.link_base)
    return _changed(page, items=[newest, *page.items], count=page.meta.count + 1)


def _ignored_filter(listing: Listing) -> Page:
    return listing._replace(query=msgspec.structs.replace(listing.query, filters={})).page()


def _foreign_link(listing: Listing) -> Page:
    page = listing.page()
    link = page.meta.links.next_page
    if isinstance(link, str):
        link = listing.settings.foreign_url + link.removeprefix(listing.link_base)
    return _changed(page, links=PageLinks(link))


#: The faults that also serve as the response to requests above the rate.
THROTTLES: dict[str, Replacement] = {
    "throttle_429": _throttle("429 with the documented error", lambda context: context.error(rate_limit_exceeded())),
    "throttle_429_empty": _throttle("429 with an empty body", lambda _: Response(status_code=429)),
    "throttle_404": _throttle(
        "404 incorrect_path whose details name '/429.json'",
        lambda context: context.error(incorrect_path("/429.json", context.method)),
    ),
    "throttle_409": _throttle("409", lambda context: context.error(conflict())),
}

FAULTS: dict[str, FaultKind[Any]] = {
    **THROTTLES,
    "error_500": Replacement("500 with the documented error", _error_500),
    "error_500_bare": Replacement('500 with {"status":500,...}', lambda context: context.json(500, BARE_ERROR)),
    "error_200_bare": Replacement('200 with {"status":500,...}', lambda context: context.json(200, BARE_ERROR)),
    "error_500_empty": Replacement("500 with an empty body", lambda _: Response(status_code=500)),
    "error_503": Replacement("503 with the documented error", _error_503),
    "error_502_html": Replacement("502 with a gateway's HTML page", lambda _: html_response(502, "502 Bad Gateway")),
    "error_504_html": Replacement("504 with a gateway's HTML page", _error_504_html),
    "html_200": Replacement("200 with an HTML page", lambda _: html_response(200, "Welcome")),
    "no_meta_error": Replacement(
        "400 with JSON that has neither errors nor meta", lambda context: context.json(400, {"message": "Bad request"})
    ),
    "expired_cursor": Replacement(
        "400 for a cursor, as if it had expired",
        lambda context: context.error(invalid_param("cursor", "has expired", "...")),
        ("GET",),
        needs_earlier_page=True,
    ),
    "retired": Replacement("410, as when Sell is retired", _error_410),
    "redirect": Replacement("307 to another host", _redirect),
    "drop_before": Replacement("connection closed without a response, request not processed", _sent_as(HangUp)),
    "stall": Replacement(
        "no response for `seconds`, then connection closed, request not processed", _sent_as(HangUp), lasts=True
    ),
    "late_commit": Replacement(
        "connection closed at once, lead converted `seconds` later if that is still possible",
        _commit_late,
        ("POST",),
        lasts=True,
    ),
    "error_500_after": Corruption("lead converted, then the response of error_500", _error_500, ("POST",)),
    "error_504_html_after": Corruption(
        "lead converted, then the response of error_504_html", _error_504_html, ("POST",)
    ),
    "drop_after": Corruption("lead converted, then connection closed without a response", _sent_as(HangUp), ("POST",)),
    "late_response": Corruption(
        "request processed at once, response sent `seconds` later", _sent_as(DelayedResponse), lasts=True
    ),
    "truncated_body": Corruption(
        "half the body, then connection closed, despite Content-Length", _sent_as(TruncatedBody)
    ),
    "cut_json": Corruption("half the JSON, with a matching Content-Length", _cut_json),
    "trickle_body": Corruption(
        "one byte of the body every 0.1 s for `seconds`, then the rest", _sent_as(TricklingBody), lasts=True
    ),
    "trickle_headers": Corruption(
        "one byte of a header every 0.1 s for `seconds`, then the rest", _sent_as(TricklingHeaders), lasts=True
    ),
    "huge_body": Corruption("64 MiB of blanks before the body", _sent_as(PaddedBody)),
    "null_items": PageCorruption('"items": null', lambda listing: {"items": None, "meta": listing.page().meta}),
    "missing_items": PageCorruption('no "items"', lambda listing: {"meta": listing.page().meta}),
    "count_too_high_empty": PageCorruption("no items, but a count above 0", _count_too_high_empty),
    "count_too_low": PageCorruption("a count below the number of items", _count_too_low),
    "missing_rows": PageCorruption("every second row is missing, though not from the count", _missing_rows),
    "total_count": PageCorruption("the count is that of the whole listing", _total_count),
    "repeat_cursor": PageCorruption("the link leads to the same page again", _repeat_cursor),
    "repeat_rows": PageCorruption(
        "starts with the last rows of the previous page", _repeat_rows, needs_earlier_page=True
    ),
    "rising_ids": PageCorruption("a later page starts with a new conversion", _rising_ids, needs_earlier_page=True),
    "ignored_filter": PageCorruption("filters have no effect", _ignored_filter),
    "empty_page": PageCorruption(
        "no items, and a link to the page that was requested",
        lambda listing: _changed(_repeat_cursor(listing), items=[], count=0),
    ),
    "short_page": PageCorruption(
        "half of `per_page` rows, and a link", lambda listing: listing.page(max(1, listing.query.per_page // 2))
    ),
    "foreign_link": PageCorruption("the link names another host", _foreign_link),
    "late_visible": DelayedVisibility(
        "converted, but not visible for `seconds`",
        lambda visibility, seconds: visibility._replace(visible_after=seconds),
    ),
    "lookup_lag": DelayedVisibility(
        "listed at once, but not found by look-ups for `seconds`",
        lambda visibility, seconds: visibility._replace(lookup_after=seconds),
    ),
}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A fault that may apply to each request.

    :param name: one of ``FAULTS``.
    :param share: probability that it applies, 0 to 1; default 1.
    :param method: applies only to ``GET`` or ``POST``; None for every method it makes sense for.
    :param times: how often it applies at most; None for no limit.
    :param seconds: its duration, if it has one; None for 2 s.
    :raises ValueError: an invalid value.
    """

    name: str
    share: float = 1.0
    method: Method | None = None
    times: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise ValueError(problem)

    def _problem(self) -> str | None:
        kind = FAULTS.get(self.name)
        if kind is None:
            return f"unknown fault {self.name!r}; there are: {', '.join(FAULTS)}"
        if not 0 <= self.share <= 1:
            return f"share of fault {self.name} is {self.share}, must be 0 to 1"
        if self.method is not None and self.method not in kind.methods:
            return f"fault {self.name} applies to {' and '.join(kind.methods)}, not to {self.method}"
        if self.times is not None and self.times < 0:
            return f"times of fault {self.name} is {self.times}, must not be negative"
        if self.seconds is not None and not kind.lasts:
            return f"fault {self.name} has no duration; remove seconds"
        if self.seconds is not None and not 0 <= self.seconds < float("inf"):
            return f"seconds of fault {self.name} is {self.seconds}, must be finite and not negative"
        return None

    @property
    def kind(self) -> FaultKind[Any]:
        """What it does."""
        return FAULTS[self.name]

    @property
    def duration(self) -> float:
        """Its duration in seconds; 0 if it has none."""
        default = DEFAULT_SECONDS if self.kind.lasts else 0.0
        return default if self.seconds is None else self.seconds

    @classmethod
    def parse(cls, fault: Fault | str) -> Fault:
        """Parse ``name``, ``name:share`` or ``name,share=0.3,method=POST,times=5,seconds=2``.

        :param fault: such a text, or a fault, which is returned as it is.
        :raises ValueError: not a valid fault.
        """
        if isinstance(fault, Fault):
            return fault
        head, *options = fault.split(",")
        name, colon, share = head.partition(":")
        values = {"name": name} | ({"share": share} if colon else {})
        for option in options:
            key, equals, value = option.partition("=")
            if not equals:
                msg = f"{option!r} in fault {fault!r} is not key=value"
                raise ValueError(msg)
            values[key] = value
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            msg = f"fault {fault!r}: {error}"
            raise ValueError(msg) from error
