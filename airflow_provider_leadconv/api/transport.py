"""Sends requests with ``requests``: one attempt in, an answer or the lack of one out. It decides nothing."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from functools import cached_property
from types import TracebackType
from typing import Self

import requests
from urllib3 import Timeout
from urllib3.exceptions import ProxyError, ReadTimeoutError

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.deadline import BEFORE_SENDING, DeadlineAdapter
from airflow_provider_leadconv.api.environment import network_settings
from airflow_provider_leadconv.api.messages import Answer, NoAnswer, Request

# A page of 200 conversions has about 100 kB. What is larger is no answer of this API, and is not read to its end.
MAX_BODY = 16 * 1024 * 1024
_CHUNK = 256 * 1024
_ENCODINGS = "gzip, deflate"  # what every urllib3 can unpack
# Idle connections kept; threads beyond so many open and close one for each request.
_CONNECTIONS = 64
# A host that does not speak TLS, and a CA file without certificates. Other failures of a handshake may pass.
_TLS_SET_UP_WRONG = {"WRONG_VERSION_NUMBER", "NO_CERTIFICATE_OR_CRL_FOUND"}
# What requests finds wrong with a host or a proxy, before it connects.
_UNUSABLE = (
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.MissingSchema,
)


class RequestsTransport:
    """Keeps connections alive, follows no redirect, and sends the token nowhere but to the configured host.

    Threads may share it, and with it connections. It goes below ``requests.Session``, whose cookies, redirects, .netrc
    and hooks are not wanted here, and cost as much as all else that is done for a page.

    :param config: where to and how long.
    :param user_agent: the API refuses requests without one.
    :raises ConnectionConfigError: if the environment names a CA file that does not exist.
    """

    def __init__(self, config: ClientConfig, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._timeout = Timeout(total=config.timeout)
        proxy, self._verify = network_settings(config)  # asked once, not for every request
        self._proxies = {"http": proxy, "https": proxy} if proxy else {}
        self._adapter = DeadlineAdapter(pool_maxsize=_CONNECTIONS)

    def __call__(self, request: Request, token: str) -> Answer | NoAnswer:
        """Make one attempt.

        :param token: access token; goes into this request's header only.
        """
        try:
            # Timeout(total=...) bounds connecting and answering together; the stubs of requests do not know it.
            with self._adapter.send(
                self._prepared(request, token),
                stream=True,
                timeout=self._timeout,  # type: ignore[arg-type]
                verify=self._verify,
                proxies=self._proxies,
            ) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(status=response.status_code, headers=headers, body=_body(response))
        except OSError as error:  # all that requests raises is one
            return self._no_answer(error)

    def close(self) -> None:
        """Close all connections."""
        self._adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def _blank(self) -> requests.PreparedRequest:
        """What all requests have in common. Making it anew for each would double the price of sending one."""
        headers = {"Accept": "application/json", "Accept-Encoding": _ENCODINGS, "Accept-Language": "en"}
        headers["User-Agent"] = self._user_agent
        return requests.Request("GET", self._config.base_url, headers=headers).prepare()

    def _prepared(self, request: Request, token: str) -> requests.PreparedRequest:
        prepared = self._blank.copy()
        prepared.method = request.method
        prepared.headers["Authorization"] = f"Bearer {token}"
        if request.body is not None:
            prepared.headers["Content-Type"] = "application/json"
            prepared.prepare_body(request.body, files=None)
        # Not by the preparation, which would normalise the escapes of a cursor.
        prepared.url = self._config.base_url.rstrip("/") + request.target
        return prepared

    def _no_answer(self, error: OSError) -> NoAnswer:
        host = self._config.base_url
        causes = list(_causes(error))
        reason = str(causes[-1]) or type(causes[-1]).__name__
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = f"the certificate of {host} is not trusted: {cause.verify_message}"
                return NoAnswer(sent=False, reason=reason, misconfigured=True)
        if any(BEFORE_SENDING in getattr(cause, "__notes__", ()) for cause in causes):
            via = " through the proxy" if any(isinstance(cause, ProxyError) for cause in causes) else ""
            wrong = getattr(causes[-1], "reason", None) in _TLS_SET_UP_WRONG or "407 Proxy Authentication" in reason
            return NoAnswer(sent=False, reason=f"no connection to {host}{via}: {reason}", misconfigured=wrong)
        if isinstance(error, _UNUSABLE):
            return NoAnswer(sent=False, reason=f"no usable host or proxy: {reason}", misconfigured=True)
        if any(isinstance(cause, ReadTimeoutError | TimeoutError) for cause in causes):
            return NoAnswer(sent=True, reason=f"no whole answer from {host} within {self._config.timeout:g} s")
        return NoAnswer(sent=True, reason=f"the connection to {host} broke before the whole answer came: {reason}")


def _body(response: requests.Response) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BODY:
            break
    return b"".join(chunks)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error of ``requests`` and those it wraps, outermost first."""
    current: object = error
    while isinstance(current, BaseException):
        yield current
        wrapped = getattr(current, "reason", None) or getattr(current, "original_error", None)
        wrapped = wrapped or next((arg for arg in current.args if isinstance(arg, BaseException)), None)
        current = wrapped if isinstance(wrapped, BaseException) else current.__cause__
