"""The two halves of an HTTP exchange as plain data, so that no rule about them needs an HTTP library."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from airflow_provider_leadconv import __version__

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


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer, read to its end.

    :param headers: with keys in lower case.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that got no whole answer.

    :param sent: whether the request may have reached the server.
    :param reason: what broke, for a human.
    :param misconfigured: whether only a change of the connection can help, such as a certificate nobody trusts.
    """

    sent: bool
    reason: str
    misconfigured: bool = False
