"""The documents the API answers with. Encoded as they stand, described in the OpenAPI document."""

from __future__ import annotations

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
    """Where the created objects are."""

    individual: str | None
    organization: str | None
    deal: str | None


class ConversionMeta(msgspec.Struct, frozen=True, gc=False):
    """What accompanies each conversion."""

    links: ConversionLinks
    type: Literal["lead_conversion"] = "lead_conversion"


class ConversionDocument(msgspec.Struct, frozen=True, gc=False):
    """One conversion with its metadata: an answer to POST, or an item of a page."""

    data: Conversion
    meta: ConversionMeta

    @classmethod
    def of(cls, conversion: Conversion, link_base: str) -> ConversionDocument:
        """:param conversion: the record.
        :param link_base: scheme and host of the links.
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
    """The way to the next page; absent on the last one."""

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
    """One thing wrong. ``resource`` and ``field`` (a JSON Pointer) only where a record is at fault."""

    code: str
    message: str
    details: str | UnsetType = UNSET
    resource: str | UnsetType = UNSET
    field: str | UnsetType = UNSET


class ErrorLinks(msgspec.Struct, frozen=True):
    """The vendor still names its old documentation site in errors."""

    more_info: str = "https://developers.getbase.com/docs/rest/articles/errors"


class ErrorMeta(msgspec.Struct, frozen=True):
    """What accompanies each error."""

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
