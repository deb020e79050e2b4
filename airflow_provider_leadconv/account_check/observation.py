"""What the check asks the API, and what it keeps of a response.

It decodes leniently: a check observes what a client would refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.error_mapping import error_from_response, unusable_response
from airflow_provider_leadconv.api.exceptions import RateLimitedError
from airflow_provider_leadconv.api.http import Request, Response

OBSERVED_ERRORS = frozenset({400, 403, 404, 422})
"""Statuses of errors that answer a question. Others, such as 429 and 503, are repeated by the client's rules."""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One response to a listing request.

    :param status: HTTP status.
    :param code: first error code of the response, if it is an error.
    :param rows: the records as the API sent them.
    :param count: ``meta.count`` as the API sent it.
    :param link: ``meta.links.next_page`` as the API sent it; empty if there is none.
    :param headers: with keys in lower case.
    :param answered_at: seconds on the client's clock.
    """

    status: int
    code: str | None
    rows: list[dict[str, Any]]
    count: Any
    link: str
    headers: Mapping[str, str]
    answered_at: float

    @property
    def ids(self) -> list[int]:
        """Ids of the records, in the order of the response."""
        return [row["id"] for row in self.rows if isinstance(row.get("id"), int)]

    @property
    def cursor(self) -> str | None:
        """The cursor of the link, percent-encoded as in the link."""
        pairs = (pair.partition("=") for pair in urlsplit(self.link).query.split("&"))
        return next((value for name, _, value in pairs if name == "cursor" and value), None)

    @property
    def link_parameters(self) -> dict[str, str]:
        """The parameters of the link, decoded."""
        return dict(parse_qsl(urlsplit(self.link).query))


class Observer:
    """Sends listing requests within a budget.

    :param client: sends them, by its rules for rate and repetition.
    :param budget: attempts that may be sent in all.
    """

    def __init__(self, client: LeadConversionsClient, budget: int) -> None:
        self.client = client
        self.observations: list[Observation] = []
        """All responses so far."""
        self._last_attempt = client.counters.requests + budget

    def get(self, query: str) -> Observation:
        """Send one listing request.

        :param query: percent-encoded query, without the question mark.
        :raises RequestNotSentError: if the budget is used up.
        :raises LeadConversionError: if the response answers no question, such as a 401 or a lasting 503.
        """
        observation = self.client.send(
            Request(method="GET", query=query),
            partial(_observe, self.client),
            lambda: self.client.counters.requests < self._last_attempt,
        )
        self.observations.append(observation)
        return observation


def _observe(client: LeadConversionsClient, response: Response) -> Observation:
    error = error_from_response("GET", response)
    if error is not None and (isinstance(error, RateLimitedError) or error.status_code not in OBSERVED_ERRORS):
        raise error  # throttling can come as a 404
    try:
        document = msgspec.json.decode(response.body) if error is None else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise unusable_response("GET", response, f"an unreadable body ({problem})") from problem
    meta = _mapping(document, "meta")
    link = _mapping(meta, "links").get("next_page")
    items = document.get("items") if isinstance(document, dict) else None
    return Observation(
        status=response.status_code,
        code=error.code if error else None,
        rows=[_mapping(item, "data") for item in items] if isinstance(items, list) else [],
        count=meta.get("count"),
        link=link if isinstance(link, str) else "",
        headers=response.headers,
        answered_at=client.clock(),
    )


def _mapping(document: object, key: str) -> dict[str, Any]:
    value = document.get(key) if isinstance(document, dict) else None
    return value if isinstance(value, dict) else {}
