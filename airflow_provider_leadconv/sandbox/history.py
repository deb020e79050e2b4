"""What happened in a sandbox: each request, the conversion it made, and from when on that is visible.

All times are in seconds of the monotonic clock, which all processes of a host share.
"""

from __future__ import annotations

from collections import deque
from hashlib import sha256
from threading import Lock

import msgspec

from airflow_provider_leadconv.sandbox.schemas import Conversion

# A sandbox that runs for weeks must not grow without bounds.
KEPT_REQUESTS = 200_000


class LoggedRequest(msgspec.Struct):
    """One request.

    :param time: when it arrived, in seconds of the monotonic clock.
    :param method: HTTP method.
    :param path: path without the query.
    :param query: query by name.
    :param query_string: query as it was sent.
    :param headers: ``user-agent``, ``accept`` and ``content-type``, as far as sent.
    :param client: host and port of the connection it came on.
    :param body: its body, as text.
    :param status: status of the response; None while there is none.
    :param fault: name of the fault that applied; several are joined by ``+``.
    :param request_id: the ``X-Request-Id`` of its response; None if the API did not process it.
    :param token_hash: start of the SHA-256 of its token; None if it has none.
    :param answered_at: when its response was sent to the end; None if it was not.
    """

    time: float
    method: str
    path: str
    query: dict[str, str]
    query_string: str
    headers: dict[str, str]
    client: tuple[str, int] | None
    body: str = ""
    status: int | None = None
    fault: str | None = None
    request_id: str | None = None
    token_hash: str | None = None
    answered_at: float | None = None


class RecordedConversion(msgspec.Struct, frozen=True, gc=False):
    """A conversion and who made it when. The times are 0 if it existed when the sandbox started.

    :param conversion: the conversion.
    :param request_id: ``request_id`` of the request that made it; None if another user made it.
    :param made_at: when it was made.
    :param listed_from: from when on it is in the listing.
    :param found_from: from when on look-ups by lead or created object find it.
    :param removed_at: when it was removed; None if it was not.
    """

    conversion: Conversion
    request_id: str | None = None
    made_at: float = 0.0
    listed_from: float = 0.0
    found_from: float = 0.0
    removed_at: float | None = None


class History(msgspec.Struct, frozen=True):
    """What happened in a sandbox since it was created.

    :param requests: all requests to the API, oldest first, including those that were cleared.
    :param conversions: all conversions in ascending order of id, including removed ones.
    :param tokens: ``token_hash`` of each token that is or was valid.
    """

    requests: list[LoggedRequest]
    conversions: list[RecordedConversion]
    tokens: list[str]


class RequestLog:
    """The most recent requests, oldest first, without their tokens. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._all: deque[LoggedRequest] = deque(maxlen=KEPT_REQUESTS)
        self._since_cleared: deque[LoggedRequest] = deque(maxlen=KEPT_REQUESTS)

    def add(self, entry: LoggedRequest) -> None:
        """Add a request, whose entry is completed while the request is processed."""
        with self._lock:
            self._all.append(entry)
            self._since_cleared.append(entry)

    def entries(self) -> list[LoggedRequest]:
        """Return the requests since the log was cleared."""
        with self._lock:
            return list(self._since_cleared)

    def all_entries(self) -> list[LoggedRequest]:
        """Return all requests so far."""
        with self._lock:
            return list(self._all)

    def clear(self) -> None:
        """Remove all requests from :meth:`entries`."""
        with self._lock:
            self._since_cleared.clear()


def token_hash(token: str) -> str:
    """Return what identifies a token without disclosing it."""
    return sha256(token.encode()).hexdigest()[:16]
