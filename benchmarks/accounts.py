"""Accounts of a fast stand-in for the API, one for each token: rate limit, latency, lost answers, and a record of all.

No I/O in here. The sandbox can do more and is slower; the rate limits are its own.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import parse_qs

from airflow_provider_leadconv.sandbox.settings import FixedWindow, RateLimit, SlidingWindow, TokenBucket
from benchmarks.http_protocol import Response

LIMITS: Mapping[str, Callable[[float], RateLimit]] = {
    "token bucket": TokenBucket,
    "fixed window": FixedWindow,
    "sliding window": SlidingWindow,
}
_FIRST_LEAD = 10**9  # of those converted before; above all that are to be converted


@dataclass(frozen=True)
class AccountSettings:
    """What an account is like.

    :param limit: a key of `LIMITS`; ``None`` for none.
    :param rate: requests a second that are allowed.
    :param latency: seconds from a request's arrival to its answer.
    :param lost: share of the conversions that are carried out and whose connection is dropped instead of an answer.
    :param conversions: how many there are at first.
    """

    limit: str | None = None
    rate: float = 10.0
    latency: float = 0.0
    lost: float = 0.0
    conversions: int = 0


class Post(NamedTuple):
    """A request to convert a lead, as the server saw it.

    :param at: when it arrived, on the system's monotonic clock.
    :param client: its User-Agent.
    """

    at: float
    client: str
    accepted: bool


@dataclass
class Traffic:
    """What arrived at an account.

    :param reads: when each GET request arrived.
    :param conversions_of: how often each lead was converted.
    """

    posts: list[Post] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    conversions_of: Counter[int] = field(default_factory=Counter)


class Account:
    """Answers requests; each lead can be converted any number of times, as nobody documents that the API refuses."""

    def __init__(self, settings: AccountSettings) -> None:
        self.settings = settings
        self.traffic = Traffic()
        self._limit = LIMITS[settings.limit](settings.rate) if settings.limit else None
        self._random = random.Random(1)
        self._rows: list[bytes] = []
        self._row_of: dict[int, int] = {}
        for number in range(settings.conversions):
            self._convert(_FIRST_LEAD + number)

    def handle(self, method: str, target: str, client: str, body: bytes, now: float) -> Response | None:
        """Response a request that arrives now.

        :return: the answer; ``None`` if it gets lost.
        """
        path, _, query = target.partition("?")
        admitted = self._limit is None or self._limit.admit(now)
        if method == "POST":
            self.traffic.posts.append(Post(now, client, admitted))
        else:
            self.traffic.reads.append(now)
        if not admitted:
            return Response(429, b"")
        if path != "/v2/lead_conversions":
            return Response(404, b'{"errors": [{"error": {"code": "not_found", "message": "There is nothing here."}}]}')
        if method == "GET":
            return Response(200, self._page(query))
        lead_id = json.loads(body)["data"]["lead_id"]
        self.traffic.conversions_of[lead_id] += 1
        row = self._convert(lead_id)
        return None if self._random.random() < self.settings.lost else Response(200, row)

    def _convert(self, lead_id: int) -> bytes:
        number = len(self._rows) + 1
        row = (
            b'{"data": {"id": %d, "lead_id": %d, "individual_id": %d, "organization_id": null, "deal_id": %d, '
            b'"creator_id": 2100001, "created_at": "2026-11-02T16:32:56Z"}, "meta": {"type": "lead_conversion"}}'
        ) % (number, lead_id, 3 * number, 5 * number)
        self._rows.append(row)
        self._row_of[lead_id] = number - 1
        return row

    def _page(self, query: str) -> bytes:
        asked = {name: int(values[0]) for name, values in parse_qs(query).items()}
        if "lead_id" in asked:
            number = self._row_of.get(asked["lead_id"])
            rows, floor = ([] if number is None else [self._rows[number]]), 0
        else:
            end = min(asked.get("cursor", len(self._rows)), len(self._rows))
            floor = max(0, end - asked.get("per_page", 25))
            rows = self._rows[floor:end][::-1]
        link = b'"next_page": "http://api/v2/lead_conversions?cursor=%d"' % floor if floor else b""
        meta = b'{"type": "collection", "count": %d, "links": {%s}}' % (len(rows), link)
        return b'{"items": [%s], "meta": %s}' % (b",".join(rows), meta)
