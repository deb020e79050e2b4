"""Sends reads with ``httpx``: the counterpart of :mod:`~airflow_provider_leadconv.api.transport` on an event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path

import httpx

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.messages import Answer, NoAnswer, Request

# As in the other transport: what is larger is no answer of this API.
MAX_BODY = 16 * 1024 * 1024
# Polls are up to minutes apart, and a handshake a poll would be most of its work.
_KEEP_ALIVE = 300.0


class HttpxTransport:
    """Keeps connections alive, follows no redirect, and sends the token nowhere but to the configured host.

    Nothing blocks the event loop: the TLS context is made in a thread, once for all transports with the same
    ``verify``.

    :param config: where to and how long.
    :param user_agent: the API refuses requests without one.
    """

    def __init__(self, config: ClientConfig, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def __call__(self, request: Request, token: str) -> Answer | NoAnswer:
        """Make one attempt.

        :param request: a read. Writes never run on an event loop, where a restart would repeat them.
        :param token: access token; goes into this request's header only.
        """
        if request.method != "GET":
            raise ValueError(f"{request.method} on an event loop; only reads belong here")
        client = await self._open()
        base = httpx.URL(self._config.base_url)
        prepared = client.build_request(
            "GET",
            base,
            headers={"Authorization": f"Bearer {token}"},
            # httpx would normalise the escapes of a cursor in a URL.
            extensions={"target": base.raw_path.rstrip(b"/") + request.target.encode()},
        )
        try:
            async with asyncio.timeout(self._config.timeout):
                return await self._send(client, prepared)
        except TimeoutError:
            return NoAnswer(
                sent=True, reason=f"no whole answer from {self._config.base_url} within {self._config.timeout:g} s"
            )
        except httpx.HTTPError as error:
            return self._no_answer(error)

    async def aclose(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _send(self, client: httpx.AsyncClient, prepared: httpx.Request) -> Answer:
        response = await client.send(prepared, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_BODY:
                    break
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Answer(status=response.status_code, headers=headers, body=bytes(body))
        finally:
            await response.aclose()

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                self._client = await asyncio.to_thread(self._new_client)
            return self._client

    def _new_client(self) -> httpx.AsyncClient:
        # It imports requests, which takes time.
        from airflow_provider_leadconv.api.environment import network_settings

        proxy, verify = network_settings(self._config)
        client = httpx.AsyncClient(
            verify=_tls_context(verify),
            proxy=proxy,
            timeout=self._config.timeout,
            limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": "application/json", "Accept-Language": "en", "User-Agent": self._user_agent},
        )
        client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        return client

    def _no_answer(self, error: httpx.HTTPError) -> NoAnswer:
        host = self._config.base_url
        causes = list(_causes(error))
        reason = next((str(cause) for cause in reversed(causes) if str(cause)), type(error).__name__)
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = f"the certificate of {host} is not trusted: {cause.verify_message}"
                return NoAnswer(sent=False, reason=reason, misconfigured=True)
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            via = " through the proxy" if isinstance(error, httpx.ProxyError) else ""
            return NoAnswer(sent=False, reason=f"no connection to {host}{via}: {reason}")
        if isinstance(error, httpx.TimeoutException):
            return NoAnswer(sent=True, reason=f"no whole answer from {host} within {self._config.timeout:g} s")
        return NoAnswer(sent=True, reason=f"the connection to {host} broke before the whole answer came: {reason}")


@lru_cache(maxsize=8)
def _tls_context(verify: bool | str) -> ssl.SSLContext:
    """Make a TLS context, which takes some 30 to 200 ms, so one is kept."""
    if verify is False:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    # The authorities that requests trusts, too.
    import certifi

    authorities = certifi.where() if verify is True else str(verify)
    if Path(authorities).is_dir():
        return ssl.create_default_context(capath=authorities)
    return ssl.create_default_context(cafile=authorities)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error of ``httpx`` and those it was raised from, outermost first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
