"""The kinds of faults, by the stage of a request at which they take effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar

from airflow_provider_leadconv.sandbox.listing import Listing
from airflow_provider_leadconv.sandbox.responses import error_response, json_response
from airflow_provider_leadconv.sandbox.transport import Response

if TYPE_CHECKING:
    from airflow_provider_leadconv.sandbox.schemas import ApiError
    from airflow_provider_leadconv.sandbox.settings import SandboxSettings

Method = Literal["GET", "POST"]
Effect = TypeVar("Effect")


class FaultContext(NamedTuple):
    """The request and the state that an effect on its response may use.

    :param convert_later: converts the lead of the request in so many seconds, if it can be converted then.
    :param seconds: duration of the fault.
    :param response: the response without the fault; empty before the work is done.
    """

    settings: SandboxSettings
    method: str
    request_id: str
    convert_later: Callable[[float], None]
    seconds: float = 0.0
    response: Response = Response()

    def json(self, status: int, document: object) -> Response:
        """Return a JSON response to the request."""
        return json_response(status, document, self.request_id)

    def error(self, error: ApiError) -> Response:
        """Return an error response to the request."""
        return error_response(error, self.request_id)


class Visibility(NamedTuple):
    """Seconds until a conversion is listed, and until look-ups find it."""

    visible_after: float = 0.0
    lookup_after: float = 0.0


@dataclass(frozen=True)
class FaultKind(Generic[Effect]):
    """A fault by name.

    :param summary: what it does.
    :param effect: does it.
    :param methods: the methods that it applies to.
    :param lasts: whether it has a duration.
    :param needs_earlier_page: whether it applies only to later pages of a listing.
    """

    summary: str
    effect: Effect
    methods: tuple[Method, ...] = ("GET", "POST")
    lasts: bool = False
    needs_earlier_page: bool = False


class Replacement(FaultKind[Callable[[FaultContext], Response]]):
    """A response in place of the work."""


class Corruption(FaultKind[Callable[[FaultContext], Response]]):
    """The work is done; its response is corrupted."""


@dataclass(frozen=True)
class PageCorruption(FaultKind[Callable[[Listing], object]]):
    """A page of the listing is corrupted."""

    methods: tuple[Method, ...] = ("GET",)


@dataclass(frozen=True)
class DelayedVisibility(FaultKind[Callable[[Visibility, float], Visibility]]):
    """The conversion is made, but not visible for some seconds."""

    methods: tuple[Method, ...] = ("POST",)
    lasts: bool = True
