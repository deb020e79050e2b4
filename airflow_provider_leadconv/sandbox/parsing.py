"""Parse and validate the query of a listing and the body of a conversion request, as the API does."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from airflow_provider_leadconv.sandbox.schemas import ApiError, ErrorDetail, field_error, invalid_param, simple_error

if TYPE_CHECKING:
    from collections.abc import Mapping

FILTERS = ("lead_id", "individual_id", "organization_id", "deal_id", "creator_id")
MAX_PAGE = 50
MAX_PER_PAGE = 200
DEFAULT_PER_PAGE = 25
MAX_ID = 2**63 - 1

_INTEGER = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_CURSOR = re.compile(r'\{"last_id":([0-9]{1,19})\}', re.ASCII)


class ListingQuery(msgspec.Struct, frozen=True):
    """A checked query. ``below`` is the id in the cursor; with a cursor the page number has no effect."""

    per_page: int
    page: int
    below: int | None
    filters: dict[str, int]

    @property
    def offset(self) -> int:
        """Number of conversions before this page."""
        return 0 if self.below is not None else (self.page - 1) * self.per_page


class ConversionBody(msgspec.Struct, frozen=True):
    """A checked body of a conversion request."""

    lead_id: int
    owner_id: int | None = None
    create_deal: bool = True


def encode_cursor(last_id: int) -> str:
    """Return a cursor in the form of Ruby's ``encode64``: base64 with a newline at the end.

    :param last_id: id of the last conversion on the page.
    """
    return base64.b64encode(b'{"last_id":%d}' % last_id).decode() + "\n"


def decode_cursor(cursor: str) -> int:
    """Return the id in a cursor.

    :raises ValueError: not a cursor of this API, byte for byte.
    """
    try:
        text = base64.b64decode(cursor, validate=False).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise ValueError("not base64") from error
    match = _CURSOR.fullmatch(text)
    if match is None or encode_cursor(int(match[1])) != cursor:
        raise ValueError("not a cursor")
    return int(match[1])


def next_page_url(base: str, last_id: int, per_page: int) -> str:
    """Return the link to the next page: cursor and page size, no filters."""
    return f"{base}/v2/lead_conversions?cursor={quote(encode_cursor(last_id))}&per_page={per_page}"


def parse_query(query: Mapping[str, str]) -> ListingQuery:
    """Parse and validate a query.

    :raises ApiError: a parameter is malformed or out of range.
    """
    below = None
    if "cursor" in query:
        try:
            below = decode_cursor(query["cursor"])
        except ValueError as error:
            raise invalid_param("cursor", "must be a cursor from a next_page link", query["cursor"]) from error
    return ListingQuery(
        per_page=_integer(query, "per_page", MAX_PER_PAGE, DEFAULT_PER_PAGE),
        page=_integer(query, "page", MAX_PAGE, 1),
        below=below,
        filters={name: _integer(query, name, MAX_ID, 0) for name in FILTERS if name in query},
    )


def _integer(query: Mapping[str, str], name: str, maximum: int, default: int) -> int:
    given = query.get(name)
    if given is None:
        return default
    if _INTEGER.fullmatch(given) is None or not 1 <= int(given) <= maximum:
        raise invalid_param(name, f"must be between 1 and {maximum}", given)
    return int(given)


def _number(text: str) -> int | float:
    """Return an integer if the value is integral: in JSON Schema, 2.0 equals 2."""
    number = float(text)
    return int(number) if number.is_integer() else number


def parse_body(content_type: str, body: bytes) -> ConversionBody:
    """Parse and validate a request body.

    :raises ApiError: 400 if it is not JSON, 422 if it is not a conversion request.
    """
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise simple_error(
            400,
            "invalid_header",
            "Invalid header.",
            "The request header 'Content-Type' must be 'application/json'.",
        )
    try:
        # The standard library's decoder: it keeps integers of any size integers.
        payload = json.loads(body, parse_float=_number)
    except ValueError as error:
        raise simple_error(400, "invalid_payload", "Invalid payload.", "The request body is not valid JSON.") from error
    data = payload.get("data") if isinstance(payload, dict) else None
    if not isinstance(data, dict):
        raise simple_error(
            422, "incorrect_payload", "Incorrect payload.", "The request body must be an object with 'data'."
        )
    problems = _problems(data)
    if problems:
        raise ApiError(422, *problems)
    return ConversionBody(**data)


def _problems(data: dict[str, Any]) -> list[ErrorDetail]:
    known = ConversionBody.__struct_fields__
    problems = [field_error("unknown", name, "There is no such attribute.") for name in data if name not in known]
    if "lead_id" not in data:
        problems.append(field_error("missing", "lead_id", "The attribute is required."))
    for name in ("lead_id", "owner_id"):
        value = data.get(name, 1)
        # bool is a subclass of int, but true is no id.
        if type(value) is not int:
            problems.append(field_error("invalid_type", name, "The attribute must be an integer."))
        elif not 1 <= value <= MAX_ID:
            problems.append(field_error("incorrect_value", name, "The attribute must be a positive 64-bit integer."))
    if not isinstance(data.get("create_deal", True), bool):
        problems.append(field_error("invalid_type", "create_deal", "The attribute must be a boolean."))
    return problems
