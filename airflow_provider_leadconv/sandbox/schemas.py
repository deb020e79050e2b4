"""The documents and errors of the API. Encoded as they stand, described in the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class Conversion(msgspec.Struct, frozen=True, gc=False):
    """One lead conversion, as the API shows it."""

    id: int
    lead_id: int
    individual_id: int | None
    organization_id: int | None
    deal_id: int | None
    creator_id: int | None
    created_at: str


class ConversionLinks(msgspec.Struct, frozen=True, gc=False):
    """URLs of the created objects."""

    individual: str | None
    organization: str | None
    deal: str | None


class ConversionMeta(msgspec.Struct, frozen=True, gc=False):
    """Metadata of a conversion."""

    links: ConversionLinks
    type: Literal["lead_conversion"] = "lead_conversion"


class ConversionDocument(msgspec.Struct, frozen=True, gc=False):
    """One conversion with its metadata: the response to POST, or an item of a page."""

    data: Conversion
    meta: ConversionMeta

    @classmethod
    def from_record(cls, conversion: Conversion, link_base: str) -> ConversionDocument:
        """Add the metadata to a record.

        :param link_base: URL that the links start with.
        """

        def link(collection: str, object_id: int | None) -> str | None:
            return None if object_id is None else f"{link_base}/v2/{collection}/{object_id}"

        links = ConversionLinks(
            individual=link("contacts", conversion.individual_id),
            organization=link("contacts", conversion.organization_id),
            deal=link("deals", conversion.deal_id),
        )
        return cls(data=conversion, meta=ConversionMeta(links=links))


class PageLinks(msgspec.Struct, frozen=True):
    """The link to the next page; absent on the last page."""

    next_page: str | UnsetType = UNSET


class PageMeta(msgspec.Struct, frozen=True):
    """``count`` is the number of items on this page, not a total."""

    count: int
    links: PageLinks
    type: Literal["collection"] = "collection"


class Page(msgspec.Struct, frozen=True):
    """One page of the listing."""

    items: list[ConversionDocument]
    meta: PageMeta


class ErrorDetail(msgspec.Struct, frozen=True):
    """One error. ``resource`` and ``field`` (a JSON Pointer) are set only for errors of a record."""

    code: str
    message: str
    details: str | UnsetType = UNSET
    resource: str | UnsetType = UNSET
    field: str | UnsetType = UNSET


class ErrorLinks(msgspec.Struct, frozen=True):
    """The vendor still names its old documentation site in errors."""

    more_info: str = "https://developers.getbase.com/docs/rest/articles/errors"


class ErrorMeta(msgspec.Struct, frozen=True):
    """Metadata of an error."""

    type: Literal["error"] = "error"
    links: ErrorLinks = ErrorLinks()


class ErrorItem(msgspec.Struct, frozen=True):
    """One error with its metadata."""

    error: ErrorDetail
    meta: ErrorMeta = ErrorMeta()


class ErrorsMeta(msgspec.Struct, frozen=True):
    """``http_status`` is text such as ``422 Unprocessable Entity``; ``logref`` may be absent."""

    http_status: str
    logref: str | UnsetType = UNSET
    type: Literal["errors"] = "errors"


class Errors(msgspec.Struct, frozen=True):
    """The envelope of every documented error."""

    errors: list[ErrorItem]
    meta: ErrorsMeta


class ApiError(Exception):
    """An error response of the API.

    :param status: HTTP status.
    :param details: one or more errors.
    :param logref: whether the envelope names the request; errors of query parameters do not.
    """

    def __init__(self, status: int, *details: ErrorDetail, logref: bool = True) -> None:
        super().__init__(status, *details)
        self.status = status
        self.details = details
        self.logref = logref

    def envelope(self, request_id: str) -> Errors:
        """Return the error as the API reports it.

        :param request_id: the value of ``logref``.
        """
        # Python 3.13 calls it "Unprocessable Content"; the API keeps to the older name.
        reason = "Unprocessable Entity" if self.status == 422 else HTTPStatus(self.status).phrase
        return Errors(
            errors=[ErrorItem(error=detail) for detail in self.details],
            meta=ErrorsMeta(
                http_status=f"{self.status} {reason}",
                logref=request_id if self.logref else UNSET,
            ),
        )


def simple_error(status: int, code: str, message: str, details: str) -> ApiError:
    """Return an error that is not about a record or a field."""
    return ApiError(status, ErrorDetail(code=code, message=message, details=details))


def invalid_param(name: str, requirement: str, given: str) -> ApiError:
    """Return the 400 for a query parameter, worded as in the API's responses for ``/v2/leads``."""
    details = (
        f"The request query parameter '{name}' is malformed, missing, or has an invalid value "
        f"({requirement}, given: {given})"
    )
    detail = ErrorDetail(code="invalid_param", message="Parameter is invalid.", details=details)
    return ApiError(400, detail, logref=False)


def field_error(code: str, field: str, details: str) -> ErrorDetail:
    """Return what is wrong with one field of a conversion request.

    :param field: name of the key inside ``data``.
    """
    return ErrorDetail(
        code=code,
        message="The submitted value is not acceptable.",
        details=details,
        resource="lead_conversion",
        field=f"/data/{field}",
    )


def incorrect_path(path: str, method: str) -> ApiError:
    """Return the 404 for an unknown path or method."""
    details = f"Requested path at '{path}' was not found using the HTTP method '{method}'."
    return simple_error(404, "incorrect_path", "The requested path was not found.", details)


def rate_limit_exceeded() -> ApiError:
    """Return the documented 429."""
    return simple_error(
        429, "rate_limit_exceeded", "Too many requests.", "The rate limit of the access token was exceeded."
    )


def conflict() -> ApiError:
    """Return a 409. The vendor does not document whether it means throttling or a conflict."""
    return simple_error(409, "conflict", "Conflict.", "The request conflicts with another one.")


def not_found() -> ApiError:
    """Return the 404 for a record that does not exist or is not visible to the user."""
    return simple_error(404, "not_found", "Not found.", "The requested resource could not be found.")
