"""``/v2/lead_conversions`` of one account, in memory and on a simulated clock.

It is a transport of the synchronous client; :class:`AsyncTransport` makes it one of the asynchronous client. It is also
a ``Source`` of :mod:`airflow_provider_leadconv.waiting.check`. Two fakes exist beside it, for tests of something else:
:class:`tests.support.responses.Script` replays given responses and has no state, and
:class:`tests.support.bulk_simulation.Server` runs the sandbox's own service behind a simulated network.
"""

from __future__ import annotations

import asyncio
import base64
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice, repeat
from typing import Any
from urllib.parse import parse_qs, quote

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.codec import read_page
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.http import Request, Response, TransportFailure
from airflow_provider_leadconv.api.models import LeadConversion, Page
from airflow_provider_leadconv.api.queries import FILTERS, ListQuery
from tests.support.clock import Clock
from tests.support.responses import ALREADY, LOST, TOKEN, Reply, client, given, page, response

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def conversion(number: int, **fields: Any) -> dict[str, Any]:
    """What the API sends for a conversion; a minute passes from one id to the next."""
    row = {
        "id": number,
        "lead_id": 10 * number,
        "individual_id": 3 * number if number % 3 else None,
        "organization_id": None if number % 3 else 5 * number,
        "deal_id": 7 * number,
        "creator_id": number % 2 + 1,
        "created_at": f"{EPOCH + timedelta(minutes=number):%Y-%m-%dT%H:%M:%SZ}",
    }
    return row | fields


def other_leads(number: int) -> range:
    """Leads that no test waits for."""
    return range(10**9, 10**9 + number)


@dataclass
class SentRequest:
    """A request that the endpoint received.

    :param number: counted from 1.
    :param at: when it was sent, on the endpoint's clock.
    :param parameters: those of the query, decoded.
    """

    number: int
    at: float
    method: str
    query: str
    parameters: dict[str, str]
    body: bytes | None


class Post(msgspec.Struct, frozen=True):
    """What happens to one POST.

    :param reply: instead of the endpoint's own response; ``None``: its own.
    :param commit_after: seconds after it was sent until the lead is converted; ``None``: never.
    :param takes: seconds until the reply.
    :param unseen: seconds after the commit until the listing shows it.
    """

    reply: Reply | None = None
    commit_after: float | None = 0.0
    takes: float = 0.1
    unseen: float = 0.0


class Endpoint:
    """Conversions by id, and what happens at each request.

    :param rows: conversions as the API sends them.
    :param clock: its time; default: a clock of its own.
    :param latency: seconds a response to a GET takes.
    :param on_request: called with each request before it is answered. It may change anything, raise, or return a reply
        to give instead.
    :param repeated: how many rows of the page before come again on a page.
    :param posts: what happens to the POSTs in turn; then all is well.
    :param second_conversion: the response to a POST of a converted lead; ``None``: it is converted again.
    """

    def __init__(
        self,
        rows: Iterable[dict[str, Any]] = (),
        *,
        clock: Clock | None = None,
        latency: float = 0.0,
        on_request: Callable[[SentRequest], Reply | None] = lambda sent: None,
        repeated: Callable[[], int] = lambda: 0,
        posts: Iterable[Post] = (),
        second_conversion: Reply | None = ALREADY,
    ) -> None:
        self.rows = {row["id"]: row for row in rows}
        self.clock = clock or Clock()
        self.latency = latency
        self.on_request = on_request
        self.repeated = repeated
        self.second_conversion = second_conversion
        self.id_step = 3
        """Distance from the id of one conversion to the next."""
        self.requests: list[SentRequest] = []
        self._posts = chain(posts, repeat(Post()))
        self._committed_at: dict[int, float] = {}
        self._visible_at: dict[int, float] = {}

    # What is there

    @property
    def ids(self) -> list[int]:
        """Of the conversions that the listing shows now, ascending."""
        now = self.clock()
        self._visible_at = {number: at for number, at in self._visible_at.items() if at > now}
        return sorted(self.rows.keys() - self._visible_at.keys() if self._visible_at else self.rows)

    @property
    def newest_id(self) -> int:
        """The highest id that the listing shows; 0 if there is none."""
        return max(self.ids, default=0)

    @property
    def converted_leads(self) -> set[int]:
        """The leads whose conversion the listing shows."""
        return {self.rows[number]["lead_id"] for number in self.ids}

    def add(self, *rows: dict[str, Any]) -> None:
        """Add conversions, or replace those with the same ids."""
        self.rows.update({row["id"]: row for row in rows})

    def convert(self, *lead_ids: int, commit_after: float = 0.0, visible_after: float = 0.0, **fields: Any) -> int:
        """Convert leads as others do; of ``id_step`` ids one exists.

        :param commit_after: seconds until they count as converted.
        :param visible_after: seconds until the listing shows them; later ones may be shown earlier.
        :return: the id of the last conversion.
        """
        number = max(self.rows, default=97)
        for lead_id in lead_ids:
            number += self.id_step
            self.rows[number] = conversion(number, lead_id=lead_id, **fields)
            if commit_after:
                self._committed_at[number] = self.clock() + commit_after
            if visible_after:
                self._visible_at[number] = self.clock() + visible_after
        return number

    # Sent requests

    @property
    def posts(self) -> list[float]:
        """When the POSTs were sent."""
        return [sent.at for sent in self.requests if sent.method == "POST"]

    @property
    def look_ups(self) -> list[float]:
        """When the GETs were sent that name a lead."""
        return [sent.at for sent in self.requests if sent.method == "GET" and "lead_id" in sent.parameters]

    # As a transport

    def __call__(self, request: Request, token: str) -> Response | TransportFailure:
        assert token == TOKEN
        sent = self.receive(request)
        if sent.method == "GET":
            self.clock.sleep(self.latency)
        return given(self.answer(sent))

    def close(self) -> None:
        pass

    def receive(self, request: Request) -> SentRequest:
        """Note a request."""
        parameters = {name: values[0] for name, values in parse_qs(request.query).items()}
        sent = SentRequest(
            len(self.requests) + 1, self.clock(), request.method, request.query, parameters, request.body
        )
        self.requests.append(sent)
        return sent

    def answer(self, sent: SentRequest) -> Reply:
        """:return: what comes of a request."""
        if (reply := self.on_request(sent)) is not None:
            return reply
        return self.page(sent.parameters) if sent.method == "GET" else self._post(sent)

    def page(self, parameters: Mapping[str, str]) -> Response:
        """:return: a page of the listing."""
        per_page = int(parameters["per_page"])
        rows = list(islice(self._matching(parameters), per_page + 1))
        cursor = None
        if len(rows) > per_page:
            rows.pop()
            cursor = quote(base64.encodebytes(json.dumps({"last_id": rows[-1]["id"]}).encode()).decode())
        return response(200, msgspec.json.encode(page(*rows, cursor=cursor)))

    # As a source

    config = ClientConfig(token=TOKEN)

    def get_page(self, query: ListQuery) -> Page:
        return read_page(self(query.request(), TOKEN), query)

    def find(self, query: ListQuery) -> LeadConversion | None:
        return next(iter(self.get_page(query).conversions), None)

    # With a client

    def client(self, **config: Any) -> LeadConversionsClient:
        """A client that is not held up by its rate limiter."""
        return client(self, self.clock, **{"account": "acme", "requests_per_second": 1e6, **config})

    def _matching(self, parameters: Mapping[str, str]) -> Iterator[dict[str, Any]]:
        ids = self.ids
        top = len(ids)
        if "cursor" in parameters:
            last_id = json.loads(base64.b64decode(parameters["cursor"]))["last_id"]
            top = bisect_left(ids, last_id) + self.repeated()
        wanted = {name: int(parameters[name]) for name in FILTERS if name in parameters}
        rows = (self.rows[ids[index]] for index in range(min(top, len(ids)) - 1, -1, -1))
        return (row for row in rows if all(row[name] == value for name, value in wanted.items()))

    def _post(self, sent: SentRequest) -> Reply:
        post = next(self._posts)
        lead_id = json.loads(sent.body or b"")["data"]["lead_id"]
        now = self.clock()
        is_converted = any(
            row["lead_id"] == lead_id and self._committed_at.get(number, now) <= now
            for number, row in self.rows.items()
        )
        own: Reply = LOST
        if is_converted and self.second_conversion is not None:
            own = self.second_conversion
        elif post.commit_after is not None:
            visible_after = post.commit_after + post.unseen
            number = self.convert(lead_id, commit_after=post.commit_after, visible_after=visible_after)
            if post.commit_after <= post.takes:
                own = response(201, {"data": self.rows[number], "meta": {"type": "lead_conversion"}})
        self.clock.sleep(post.takes)
        return own if post.reply is None else post.reply


class AsyncTransport:
    """The endpoint as a transport of the asynchronous client. Time passes on the event loop.

    :param closed: called when the client is closed.
    """

    def __init__(self, endpoint: Endpoint, closed: Callable[[], object] = lambda: None) -> None:
        self._endpoint = endpoint
        self._closed = closed

    async def __call__(self, request: Request, token: str) -> Response | TransportFailure:
        sent = self._endpoint.receive(request)
        await asyncio.sleep(self._endpoint.latency)
        return given(self._endpoint.answer(sent))

    async def aclose(self) -> None:
        self._closed()
