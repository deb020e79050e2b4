"""Sends requests with ``requests``: one attempt in, an answer or the lack of one out. It decides nothing."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
from urllib3 import Timeout
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError, ReadTimeoutError

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.deadline import DeadlineAdapter
from airflow_provider_leadconv.api.errors import ConnectionConfigError
from airflow_provider_leadconv.api.messages import Answer, NoAnswer, Request

# A page of 200 conversions has about 100 kB. What is larger is no answer of this API, and is not read to its end.
MAX_BODY = 16 * 1024 * 1024
_CHUNK = 64 * 1024


class RequestsTransport:
    """Keeps connections alive, follows no redirect, and sends the token nowhere but to the configured host.

    Threads may share it: each gets a session of its own.

    :param config: where to and how long.
    :param user_agent: the API refuses requests without one.
    """

    def __init__(self, config: ClientConfig, user_agent: str) -> None:
        self._config = config
        self._user_agent = user_agent
        self._timeout = Timeout(total=config.timeout)
        self._local = threading.local()
        self._sessions: list[requests.Session] = []
        self._lock = threading.Lock()

    def __call__(self, request: Request, token: str) -> Answer | NoAnswer:
        """Make one attempt.

        :param token: access token; goes into this request's header only.
        """
        headers = {"Authorization": f"Bearer {token}"}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        session = self._session()
        prepared = session.prepare_request(
            requests.Request(request.method, self._config.base_url, headers=headers, data=request.body)
        )
        # Set after the preparation, which would normalise the escapes of a cursor.
        prepared.url = self._config.base_url.rstrip("/") + request.target
        try:
            # Timeout(total=...) bounds connecting and answering together; the stubs of requests do not know it.
            with session.send(
                prepared,
                stream=True,
                timeout=self._timeout,  # type: ignore[arg-type]
                allow_redirects=False,
            ) as response:
                body = bytearray()
                for chunk in response.iter_content(_CHUNK):
                    body += chunk
                    if len(body) > MAX_BODY:
                        break
                headers_read = {name.lower(): value for name, value in response.headers.items()}
                return Answer(status=response.status_code, headers=headers_read, body=bytes(body))
        except OSError as error:  # all that requests raises is one
            return self._no_answer(error)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for session in self._sessions:
                session.close()
            self._sessions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._new_session()
            with self._lock:
                self._sessions.append(session)
        return session

    def _new_session(self) -> requests.Session:
        session = requests.Session()
        proxies = {"http": self._config.proxy, "https": self._config.proxy} if self._config.proxy else {}
        # The environment is asked once, not for every request; and a .netrc cannot replace our Authorization.
        settings = session.merge_environment_settings(
            self._config.base_url, proxies, stream=True, verify=self._config.verify, cert=None
        )
        if isinstance(settings["verify"], str) and not Path(settings["verify"]).exists():
            raise ConnectionConfigError(f"the CA file of the environment does not exist: {settings['verify']}")
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.proxies.update(settings["proxies"])
        session.verify = settings["verify"]
        session.headers.update({"Accept": "application/json", "Accept-Language": "en", "User-Agent": self._user_agent})
        session.mount("http://", DeadlineAdapter())
        session.mount("https://", DeadlineAdapter())
        return session

    def _no_answer(self, error: OSError) -> NoAnswer:
        host = self._config.base_url
        causes = list(_causes(error))
        reason = str(causes[-1]) or type(causes[-1]).__name__
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                reason = f"the certificate of {host} is not trusted: {cause.verify_message}"
                return NoAnswer(sent=False, reason=reason, misconfigured=True)
            if isinstance(cause, ConnectTimeoutError | NewConnectionError | ProxyError):
                via = " through the proxy" if isinstance(cause, ProxyError) else ""
                return NoAnswer(sent=False, reason=f"no connection to {host}{via}: {reason}")
        if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidProxyURL):
            return NoAnswer(sent=False, reason=f"no usable URL: {reason}", misconfigured=True)
        if any(isinstance(cause, ReadTimeoutError | TimeoutError) for cause in causes):
            return NoAnswer(sent=True, reason=f"no whole answer from {host} within {self._config.timeout:g} s")
        return NoAnswer(sent=True, reason=f"the connection to {host} broke before the whole answer came: {reason}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error of ``requests`` and those it wraps, outermost first."""
    current: object = error
    while isinstance(current, BaseException):
        yield current
        wrapped = getattr(current, "reason", None) or getattr(current, "original_error", None)
        wrapped = wrapped or next((arg for arg in current.args if isinstance(arg, BaseException)), None)
        current = wrapped if isinstance(wrapped, BaseException) else current.__cause__
