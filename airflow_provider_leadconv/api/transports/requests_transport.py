"""Sends requests with ``requests``: one attempt in, a response or the lack of one out. It decides nothing."""

from __future__ import annotations

from http.client import HTTPException
from types import TracebackType
from typing import Self

import requests
from urllib3 import Timeout
from urllib3.exceptions import HTTPError

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.http import Request, Response, TransportFailure
from airflow_provider_leadconv.api.transports.body import (
    ACCEPT_ENCODING,
    BoundedBody,
    UnreadableBodyError,
    decode,
)
from airflow_provider_leadconv.api.transports.deadline import DeadlineAdapter
from airflow_provider_leadconv.api.transports.failures import transport_failure
from airflow_provider_leadconv.api.transports.forking import reset_in_children
from airflow_provider_leadconv.api.transports.network_settings import network_settings

_CHUNK = 256 * 1024
# Idle connections kept; threads beyond so many open and close one for each request.
_CONNECTIONS = 64
# What requests raises is an OSError. The others come from below it, where it wraps nothing; a ValueError from a chunk
# of negative size.
_FAILURES = (OSError, HTTPError, HTTPException, ValueError)


class RequestsTransport:
    """Keeps connections alive, follows no redirect, and sends the token nowhere but to the configured host.

    Threads may share it, and with it connections. It goes below ``requests.Session``, whose cookies, redirects, .netrc
    and hooks are not wanted here, and cost as much as all else that is done for a page.

    :param config: where to and how long.
    :param user_agent: the API refuses requests without one.
    :raises ConnectionConfigError: if the proxy is wrong, in the connection or in the environment.
    """

    def __init__(self, config: ClientConfig, user_agent: str) -> None:
        self._config = config
        self._timeout = Timeout(total=config.timeout)
        self._network = network_settings(config)  # asked once, not for every request
        self._blank = _blank_request(config.base_url, user_agent)
        self.reset_after_fork()
        reset_in_children(self)

    def __call__(self, request: Request, token: Secret) -> Response | TransportFailure:
        """Make one attempt.

        :param token: access token; goes into this request's header only.
        :raises ConnectionConfigError: if the CA file is wrong.
        """
        try:
            # Timeout(total=...) bounds connecting and answering together; the stubs of requests do not know it.
            with self._adapter.send(
                self._prepared(request, token),
                stream=True,
                timeout=self._timeout,  # type: ignore[arg-type]
                proxies=self._network.proxies(),
            ) as response:
                return _read(response)
        except _FAILURES as error:
            return transport_failure(
                error, host=self._config.base_url, timeout=self._config.timeout, proxy=self._network.proxy_name
            )

    def reset_after_fork(self) -> None:
        """Open connections of its own."""
        self._adapter = DeadlineAdapter(self._network, connections=_CONNECTIONS)

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepared(self, request: Request, token: Secret) -> requests.PreparedRequest:
        prepared = self._blank.copy()
        prepared.method = request.method
        prepared.headers["Authorization"] = f"Bearer {token.reveal()}"
        if request.body is not None:
            prepared.headers["Content-Type"] = "application/json"
            prepared.prepare_body(request.body, files=None)
        # Not by the preparation, which would normalise the escapes of a cursor.
        prepared.url = self._config.base_url.rstrip("/") + request.target
        return prepared


def _blank_request(base_url: str, user_agent: str) -> requests.PreparedRequest:
    """What all requests have in common. Making it anew for each would double the price of sending one."""
    headers = {"Accept": "application/json", "Accept-Encoding": ACCEPT_ENCODING, "Accept-Language": "en"}
    return requests.Request("GET", base_url, headers={**headers, "User-Agent": user_agent}).prepare()


def _read(response: requests.Response) -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    raw, body = BoundedBody(), BoundedBody()
    try:
        for chunk in response.raw.stream(_CHUNK, decode_content=False):
            raw.add(chunk)
        for piece in decode(raw.chunks, headers.get("content-encoding")):
            body.add(piece)
    except UnreadableBodyError as error:
        return Response(status_code=response.status_code, headers=headers, body=b"", unreadable=str(error))
    return Response(status_code=response.status_code, headers=headers, body=body.joined())
