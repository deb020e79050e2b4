"""Sends reads with ``httpx2``: the counterpart of ``requests_transport`` on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2
from typing_extensions import override

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.http import Request, Response, TransportFailure
from airflow_provider_leadconv.api.transports.body import (
    ACCEPT_ENCODING,
    BoundedBody,
    UnreadableBodyError,
    decode,
)
from airflow_provider_leadconv.api.transports.connecting import connect_async
from airflow_provider_leadconv.api.transports.failures import note_not_sent, transport_failure
from airflow_provider_leadconv.api.transports.forking import reset_in_children
from airflow_provider_leadconv.api.transports.network_settings import network_settings

# Polls are up to minutes apart, and a handshake a poll would be most of its work.
_KEEP_ALIVE = 300.0
_SENDING = "http11.send_request_headers.started"
# An error of the TLS layer while a response is read is an OSError that httpx2 does not wrap.
_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OSError)


class Httpx2Transport:
    """Keeps connections alive, follows no redirect, and sends the token nowhere but to the configured host.

    Nothing blocks the event loop: the TLS context is made in a thread, once for all transports with the same
    ``verify``.

    :param config: where to and how long.
    :param user_agent: the API refuses requests without one.
    """

    def __init__(self, config: ClientConfig, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self.reset_after_fork()
        reset_in_children(self)

    async def __call__(self, request: Request, token: Secret) -> Response | TransportFailure:
        """Make one attempt.

        :param request: a read. Writes never run on an event loop, where a restart would repeat them.
        :param token: access token; goes into this request's header only.
        :raises ConnectionConfigError: if the proxy or the CA file is wrong.
        """
        if request.method != "GET":
            raise ValueError(f"{request.method} on an event loop; only reads belong here")
        client, proxy = await self._open()
        sending = False

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            nonlocal sending
            # Of the request itself, not of the one that asks a proxy for a tunnel.
            sending = sending or (event == _SENDING and info["request"].method != b"CONNECT")

        base = httpx2.URL(self._config.base_url)
        prepared = client.build_request(
            "GET",
            base,
            headers={"Authorization": f"Bearer {token.reveal()}"},
            # httpx2 would normalise the escapes of a cursor in a URL.
            extensions={"target": base.raw_path.rstrip(b"/") + request.target.encode(), "trace": trace},
        )
        try:
            async with asyncio.timeout(self._config.timeout):
                return await self._send(client, prepared)
        except _FAILURES as error:
            if not sending:
                note_not_sent(error)
            return transport_failure(error, host=self._config.base_url, timeout=self._config.timeout, proxy=proxy)

    def reset_after_fork(self) -> None:
        """Open connections of its own, on an event loop of its own."""
        self._client: tuple[httpx2.AsyncClient, str | None] | None = None
        self._opening = asyncio.Lock()

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client[0].aclose()

    async def _send(self, client: httpx2.AsyncClient, prepared: httpx2.Request) -> Response:
        response = await client.send(prepared, stream=True)
        try:
            return await _read(response)
        finally:
            await response.aclose()

    async def _open(self) -> tuple[httpx2.AsyncClient, str | None]:
        """Return the client, and the name of its proxy."""
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._new_client)
            return self._client

    def _new_client(self) -> tuple[httpx2.AsyncClient, str | None]:
        network = network_settings(self._config)
        encrypted_proxy = network.proxy_name is not None and network.proxy_name.lower().startswith("https:")
        proxy_tls = network.tls if encrypted_proxy else None
        client = httpx2.AsyncClient(
            verify=network.tls or False,  # without TLS there is nothing to verify
            proxy=httpx2.Proxy(network.proxy.reveal(), ssl_context=proxy_tls) if network.proxy else None,
            timeout=self._config.timeout,
            limits=httpx2.Limits(keepalive_expiry=_KEEP_ALIVE),
            follow_redirects=False,
            trust_env=False,
            headers={
                "Accept": "application/json",
                "Accept-Encoding": ACCEPT_ENCODING,
                "Accept-Language": "en",
                "User-Agent": self._user_agent,
            },
        )
        _look_up_in_threads(client)
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return client, network.proxy_name


class _Backend(httpcore2.AnyIOBackend):
    @override
    async def connect_tcp(self, host: str, port: int, *args: Any, **kwargs: Any) -> httpcore2.AsyncNetworkStream:
        connect_to = super().connect_tcp
        return await connect_async(host, port, lambda address: connect_to(address, port, *args, **kwargs))


def _look_up_in_threads(client: httpx2.AsyncClient) -> None:
    """Have a client look up names as :mod:`~.connecting` does. httpx2 has no argument for the network below it."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx2.AsyncHTTPTransport):
            transport._pool._network_backend = _Backend()  # noqa: SLF001


async def _read(response: httpx2.Response) -> Response:
    headers = {name.lower(): value for name, value in response.headers.items()}
    raw, body = BoundedBody(), BoundedBody()
    try:
        async for chunk in response.aiter_raw():
            raw.add(chunk)
        for piece in decode(raw.chunks, headers.get("content-encoding")):
            body.add(piece)
            await asyncio.sleep(0)  # the rest of the event loop takes its turn
    except UnreadableBodyError as error:
        return Response(status_code=response.status_code, headers=headers, body=b"", unreadable=str(error))
    return Response(status_code=response.status_code, headers=headers, body=body.joined())
