"""Responses of the API, and a transport that replays them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import chain, repeat
from typing import Any

from hypothesis import strategies as st

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import RETIREMENT
from airflow_provider_leadconv.api.http import Request, Response, TransportFailure
from tests.support.clock import Clock

TOKEN = "marker0token1" * 4
BEFORE, AFTER = RETIREMENT - timedelta(seconds=1), RETIREMENT
"""Just before Sell's retirement, and from then on."""
LOST = TransportFailure(sent=True, reason="the connection broke")
NOT_SENT = TransportFailure(sent=False, reason="no connection")
UNFORESEEN = ArithmeticError("nobody expects it of a transport")
HTML = b"<html><head><title>504 Gateway Time-out</title></head><body>nginx</body></html>"


def response(status: int = 200, content: Any = b"", **headers: str) -> Response:
    """:param content: a body, or what JSON is made of."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Response(
        status_code=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body
    )


def row(number: int, lead_id: int | None = None, **more: Any) -> dict[str, Any]:
    """A conversion as the API has it."""
    return {
        "id": number,
        "lead_id": lead_id or number + 10_000,
        "individual_id": 3,
        "organization_id": None,
        "deal_id": None,
        "creator_id": 7,
        "created_at": "2021-02-17T16:32:56Z",
    } | more


def page(*rows: Mapping[str, Any], cursor: str | None = None, **meta: Any) -> dict[str, Any]:
    """A page as the API has it."""
    links = {"next_page": f"https://api.getbase.com/v2/lead_conversions?cursor={cursor}&per_page=25"} if cursor else {}
    items = [{"data": data, "meta": {"type": "lead_conversion"}} for data in rows]
    return {"items": items, "meta": {"type": "collection", "count": len(items), "links": links} | meta}


def single(*args: Any, **more: Any) -> dict[str, Any]:
    """A conversion as the response to a POST."""
    return {"data": row(*args, **more), "meta": {"type": "lead_conversion"}}


def envelope(status: str, code: str, details: str = "", *, field: str | None = None, logref: str | None = "r-1") -> Any:
    """The documented body of an error."""
    error = {"code": code, "message": "Nachricht", "details": details} | ({"field": field} if field else {})
    meta = {"type": "errors", "http_status": status} | ({"logref": logref} if logref else {})
    return {"errors": [{"error": error, "meta": {"type": "error"}}], "meta": meta}


THROTTLED_AS_404 = response(
    404,
    envelope(
        "404 Not Found",
        "incorrect_path",
        "Requested path at '/429.json' was not found using the HTTP method 'GET'.",
    ),
)
UNAUTHORIZED = response(401, envelope("401 Unauthorized", "unauthorized", "Required access token is missing."))
ALREADY = response(422, envelope("422 Unprocessable Entity", "already_exists", "converted", field="/data/lead_id"))


Reply = Response | TransportFailure | Exception
"""What comes of an attempt; an exception is raised by the transport."""


def given(reply: Reply) -> Response | TransportFailure:
    """:return: a reply as a transport gives it."""
    if isinstance(reply, Exception):
        raise reply
    return reply


# Whatever comes

_KEYS = [
    *("items", "data", "meta", "count", "links", "next_page", "errors", "error", "status", "code"),
    *("details", "field", "http_status", "logref", "id", "lead_id", "created_at"),
]
_documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["422 x", "²", "?cursor=a", "9" * 30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
    max_leaves=12,
)
_ODD_VALUES = st.sampled_from(
    [
        *(b"1e999", b"-1e400", b"1e-999", b"-0", b"1.0", b"5" * 30, b"5" * 400, b"5" * 5000, b"01", b"1e", b"NaN"),
        *(b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"', b'"\\"', b"'", b"", b"\0"),
    ]
)
_nested = st.builds(
    lambda depth, around: around[0] * depth + around[1] * depth,
    st.sampled_from([2, 98, 99, 100, 101, 500, 900, 990, 1100, 9999]),
    st.sampled_from([(b"[", b"]"), (b'{"[":', b"}"), (b"[", b""), (b'["]",', b"1]")]),
)


@st.composite
def _odd_records(draw: Callable[..., Any]) -> bytes:
    """Conversions of lead 5 that have one value that is hard to read."""
    value = draw(_ODD_VALUES | _nested)
    record = row(9, 5) | {draw(st.sampled_from(["unknown", "created_at", "deal_id", "id"])): "@"}
    return json.dumps(record).encode().replace(b'"@"', value)


hostile_bodies = (
    st.binary(max_size=40)
    | _documents.map(lambda document: json.dumps(document).encode())
    | _odd_records().map(lambda record: b'{"data":%s}' % record)
    | _odd_records().map(lambda record: b'{"items":[{"data":%s}]}' % record)
    | (_ODD_VALUES | _nested).map(lambda value: b'{"items":[],"meta":{"count":%s},"error":%s}' % (value, value))
)
"""Bodies of a response, of which few can be read."""


class Script:
    """A transport that gives responses in turn, and the last one for ever.

    :param seconds: how long each attempt takes.
    """

    def __init__(self, clock: Clock, responses: Iterable[Reply], seconds: float = 0.1) -> None:
        replies = list(responses)
        self._responses = chain(replies, repeat(replies[-1]))
        self._clock = clock
        self._seconds = seconds
        self.requests: list[Request] = []
        self.tokens: list[str] = []
        self.times: list[float] = []

    def __call__(self, request: Request, token: str) -> Response | TransportFailure:
        self.requests.append(request)
        self.tokens.append(token)
        self.times.append(self._clock())
        self._clock.sleep(self._seconds)
        return given(next(self._responses))

    def close(self) -> None:
        pass


def client(
    transport: Any,
    clock: Clock,
    renew_token: Callable[[], str] | None = None,
    *,
    now: Callable[[], datetime] = lambda: BEFORE,
    **config: Any,
) -> LeadConversionsClient:
    """A client on a simulated clock.

    :param now: the date; by default long before Sell's retirement, so that no test changes with the date.
    """
    return LeadConversionsClient(
        ClientConfig(**{"token": TOKEN, **config}),
        renew_token=renew_token,
        transport=transport,
        clock=clock,
        now=now,
        sleep=clock.sleep,
    )


def scripted(
    *responses: Reply,
    renew_token: Callable[[], str] | None = None,
    seconds: float = 0.1,
    **config: Any,
) -> tuple[LeadConversionsClient, Script]:
    """A client that is given these responses, and the transport that gives them."""
    clock = Clock(1000.0)
    script = Script(clock, responses, seconds)
    return client(script, clock, renew_token, **config), script
