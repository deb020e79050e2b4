"""The two halves of an HTTP exchange as plain data, so that no rule about them needs an HTTP library."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from airflow_provider_leadconv import __version__
from airflow_provider_leadconv.api.config import Secret

PATH = "/v2/lead_conversions"
USER_AGENT = f"airflow-provider-leadconv/{__version__}"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request to the API, without host and token.

    :param method: ``GET`` or ``POST``.
    :param query: percent-encoded query, without the question mark.
    :param body: JSON body of a POST.
    """

    method: str
    query: str = ""
    body: bytes | None = None

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{PATH}?{self.query}" if self.query else PATH


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP response, read to its end.

    :param headers: with keys in lower case.
    :param body: decoded; empty if it could not be read.
    :param unreadable: what came in place of a readable body, such as "a body of more than 16 MiB".
    :param secret: the token it was asked for with, which no error may quote.
    """

    status_code: int
    headers: Mapping[str, str]
    body: bytes
    unreadable: str | None = None
    secret: Secret | None = None


class TransportFailure(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that got no complete response.

    :param sent: whether the request may have reached the server.
    :param reason: what failed, for the message of an error.
    :param misconfigured: whether only a change of the connection can help, such as for an untrusted certificate.
    :param remedy: what to do about this cause; ``None``: what fits every failure of the API.
    """

    sent: bool
    reason: str
    misconfigured: bool = False
    remedy: str | None = None
