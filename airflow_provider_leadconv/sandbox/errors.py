"""The documented errors, and the envelope they come in."""

from __future__ import annotations

from http import HTTPStatus

from msgspec import UNSET

from airflow_provider_leadconv.sandbox.schemas import ErrorDetail, ErrorItem, Errors, ErrorsMeta


class ApiError(Exception):
    """A request the API refuses.

    :param status: HTTP status.
    :param details: one or more errors.
    :param logref: whether the envelope names the request; refused query parameters come without.
    """

    def __init__(self, status: int, *details: ErrorDetail, logref: bool = True) -> None:
        super().__init__(status, *details)
        self.status = status
        self.details = details
        self.logref = logref

    def envelope(self, request_id: str) -> Errors:
        """:param request_id: what ``logref`` is set to."""
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
    """:return: an error that blames no particular record or field."""
    return ApiError(status, ErrorDetail(code=code, message=message, details=details))


def invalid_param(name: str, requirement: str, given: str) -> ApiError:
    """:return: the 400 for a query parameter, worded as the API words it for ``/v2/leads``."""
    details = (
        f"The request query parameter '{name}' is malformed, missing, or has an invalid value "
        f"({requirement}, given: {given})"
    )
    detail = ErrorDetail(code="invalid_param", message="Parameter is invalid.", details=details)
    return ApiError(400, detail, logref=False)


def field_error(code: str, field: str, details: str) -> ErrorDetail:
    """:return: what is wrong with one field of a conversion request.
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
    """:return: the 404 for a path, or for a method on it, that the API does not have."""
    details = f"Requested path at '{path}' was not found using the HTTP method '{method}'."
    return simple_error(404, "incorrect_path", "The requested path was not found.", details)


def rate_limit_exceeded() -> ApiError:
    """:return: the documented 429."""
    return simple_error(
        429, "rate_limit_exceeded", "Too many requests.", "The rate limit of the access token was exceeded."
    )


def conflict() -> ApiError:
    """:return: a 409, whose meaning the vendor does not document: throttling and conflicts look alike."""
    return simple_error(409, "conflict", "Conflict.", "The request conflicts with another one.")


def not_found() -> ApiError:
    """:return: the 404 for a record that does not exist or is not visible to the user."""
    return simple_error(404, "not_found", "Not found.", "The requested resource could not be found.")
