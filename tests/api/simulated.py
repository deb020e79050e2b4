"""A clock that only moves when told to, and transports without sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, repeat
from typing import Any

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.messages import Answer, NoAnswer, Request

TOKEN = "marker0token1" * 4
LOST = NoAnswer(sent=True, reason="the connection broke")
NOT_SENT = NoAnswer(sent=False, reason="no connection")
HTML = b"<html><head><title>504 Gateway Time-out</title></head><body>nginx</body></html>"


class Clock:
    """Seconds; whoever sleeps on it moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


def answer(status: int = 200, content: Any = b"", **headers: str) -> Answer:
    """:param content: a body, or what JSON is made of."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body)


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
    """A conversion as the answer to a POST."""
    return {"data": row(*args, **more), "meta": {"type": "lead_conversion"}}


def envelope(status: str, code: str, details: str = "", *, field: str | None = None, logref: str | None = "r-1") -> Any:
    """The documented body of an error."""
    error = {"code": code, "message": "Nachricht", "details": details} | ({"field": field} if field else {})
    meta = {"type": "errors", "http_status": status} | ({"logref": logref} if logref else {})
    return {"errors": [{"error": error, "meta": {"type": "error"}}], "meta": meta}


THROTTLED_AS_404 = answer(
    404,
    envelope(
        "404 Not Found",
        "incorrect_path",
        "Requested path at '/429.json' was not found using the HTTP method 'GET'.",
    ),
)
UNAUTHORIZED = answer(401, envelope("401 Unauthorized", "unauthorized", "Required access token is missing."))
ALREADY = answer(422, envelope("422 Unprocessable Entity", "already_exists", "converted", field="/data/lead_id"))


class Script:
    """A transport that gives answers in turn, and the last one for ever.

    :param seconds: how long each attempt takes.
    """

    def __init__(self, clock: Clock, answers: Iterable[Answer | NoAnswer], seconds: float = 0.1) -> None:
        given = list(answers)
        self._answers = chain(given, repeat(given[-1]))
        self._clock = clock
        self._seconds = seconds
        self.requests: list[Request] = []
        self.tokens: list[str] = []
        self.times: list[float] = []

    def __call__(self, request: Request, token: str) -> Answer | NoAnswer:
        self.requests.append(request)
        self.tokens.append(token)
        self.times.append(self._clock())
        self._clock.sleep(self._seconds)
        return next(self._answers)

    def close(self) -> None:
        pass


def client(
    transport: Any, clock: Clock, renew_token: Callable[[], str] | None = None, **config: Any
) -> LeadConversionsClient:
    """A client on a simulated clock."""
    return LeadConversionsClient(
        ClientConfig(**{"token": TOKEN, **config}),
        renew_token=renew_token,
        transport=transport,
        clock=clock,
        sleep=clock.sleep,
    )


def scripted(
    *answers: Answer | NoAnswer, renew_token: Callable[[], str] | None = None, seconds: float = 0.1, **config: Any
) -> tuple[LeadConversionsClient, Script]:
    """A client that is given these answers, and the transport that gives them."""
    clock = Clock()
    script = Script(clock, answers, seconds)
    return client(script, clock, renew_token, **config), script
