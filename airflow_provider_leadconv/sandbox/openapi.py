"""The OpenAPI document. Written by hand, as requests are validated by hand to fail exactly as in the API."""

from __future__ import annotations

from typing import Any

import msgspec

from airflow_provider_leadconv.sandbox.parsing import (
    DEFAULT_PER_PAGE,
    FILTERS,
    MAX_ID,
    MAX_PAGE,
    MAX_PER_PAGE,
)
from airflow_provider_leadconv.sandbox.schemas import ConversionDocument, Errors, Page

JSON = "application/json"
# JSON Schema cannot describe a cursor, so its format has a name of our own.
CURSOR_FORMAT = "lead-conversions-cursor"

_ERRORS = {
    400: "A parameter, a header or the payload is malformed.",
    401: "The access token is missing, malformed, expired or revoked.",
    403: "The access token lacks the scope.",
    404: "There is no such lead, or no such path.",
    409: "Throttling, or a lead that is already converted, depending on the settings of the sandbox.",
    422: "The lead cannot be converted as requested.",
    429: "The rate limit of the token was exceeded.",
}
_FILTERED_BY = {
    "lead_id": "the lead that was converted",
    "individual_id": "the contact (individual) that was created",
    "organization_id": "the contact (organization) that was created",
    "deal_id": "the deal that was created",
    "creator_id": "the user who converted the lead",
}


def _responses(success: dict[int, str], schema: str, errors: tuple[int, ...]) -> dict[str, Any]:
    def response(description: str, schema: str) -> dict[str, Any]:
        return {
            "description": description,
            "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
            "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }

    good = {str(status): response(description, schema) for status, description in success.items()}
    return good | {str(status): response(_ERRORS[status], "Errors") for status in errors}


def _parameter(name: str, description: str, **schema: object) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _list_operation() -> dict[str, Any]:
    integer = {"type": "integer", "minimum": 1}
    parameters = [
        _parameter("page", "Page number, from 1. Beyond 50 use `cursor`.", **integer, maximum=MAX_PAGE),
        _parameter("per_page", "Conversions on a page.", **integer, maximum=MAX_PER_PAGE, default=DEFAULT_PER_PAGE),
        _parameter(
            "cursor",
            "Cursor of the `next_page` link on the previous page, unchanged. `page` has no effect then.",
            type="string",
            format=CURSOR_FORMAT,
        ),
    ]
    parameters += [
        _parameter(name, f"Id of {_FILTERED_BY[name]}.", **integer, maximum=MAX_ID, format="int64") for name in FILTERS
    ]
    return {
        "operationId": "list_lead_conversions",
        "summary": "Retrieve all lead conversions",
        "description": "In descending order of id. Conversions match all given filters. Requires the scope `read`.",
        "parameters": parameters,
        "responses": _responses({200: "A page of conversions."}, "Page", (400, 401, 403, 404, 409, 429)),
    }


def _create_operation() -> dict[str, Any]:
    identifier = {"type": "integer", "minimum": 1, "maximum": MAX_ID, "format": "int64"}
    data = {
        "type": "object",
        "required": ["lead_id"],
        "additionalProperties": False,
        "properties": {
            "lead_id": {**identifier, "description": "The lead to convert."},
            "owner_id": {**identifier, "description": "Owner of the created objects; default the owner of the lead."},
            "create_deal": {"type": "boolean", "default": True, "description": "Whether to create a deal."},
        },
    }
    body = {"type": "object", "required": ["data"], "properties": {"data": data}}
    success = {200: "The conversion.", 201: "The conversion, if the setting `post_status` is 201."}
    return {
        "operationId": "create_lead_conversion",
        "summary": "Convert a lead",
        "description": "Creates an individual, an organization or both. Requires the scope `write`.",
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": _responses(success, "ConversionDocument", tuple(_ERRORS)),
    }


def openapi_document(version: str, path_prefix: str = "") -> dict[str, Any]:
    """Return the OpenAPI document.

    :param version: of the package.
    :param path_prefix: prefix of the path ``/v2``.
    """
    _, schemas = msgspec.json.schema_components(
        (Page, ConversionDocument, Errors), ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lead Conversions API (sandbox)",
            "version": version,
            "description": "A local stand-in for the Lead Conversions API of Zendesk Sell. "
            "A request without a `User-Agent` header is refused with 400.",
        },
        "servers": [{"url": path_prefix or "/"}],
        "security": [{"token": []}],
        "paths": {"/v2/lead_conversions": {"get": _list_operation(), "post": _create_operation()}},
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }
