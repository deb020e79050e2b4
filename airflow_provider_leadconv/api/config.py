"""How to reach the API: what an Airflow connection says, checked."""

from __future__ import annotations

import ipaddress
import math
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from airflow_provider_leadconv.api.errors import ConnectionConfigError

DEFAULT_BASE_URL = "https://api.getbase.com"
DEFAULT_WEB_BASE_URL = "https://app.futuresimple.com"


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a client needs to know.

    :param token: access token. It is no part of the repr.
    :param base_url: scheme, host, port and maybe a path prefix.
    :param requests_per_second: never send faster. The API allows 10 a second per token (developer.zendesk.com,
        rate limits), shared by everyone who uses the token.
    :param timeout: seconds one attempt may take, from connecting to the last byte.
    :param retry_timeout: seconds all attempts of one request may take together.
    :param settle_time: seconds by which a conversion may become visible late. An unknown outcome is judged
        ``timeout + settle_time`` after its request was sent, not earlier.
    :param verify: check TLS certificates: against the system's, against none, or against those in a file.
    :param proxy: URL of an HTTP proxy; ``None``: what the environment says.
    :param allow_http: allow plain http to a host other than this machine.
    :param account: name of the Sell account in assets and lineage.
    :param web_base_url: where Sell's web app shows this account, for links.
    :raises ConnectionConfigError: naming the field that is wrong.
    """

    token: str
    base_url: str = DEFAULT_BASE_URL
    requests_per_second: float = 10.0
    timeout: float = 30.0
    retry_timeout: float = 300.0
    settle_time: float = 30.0
    verify: bool | str = True
    proxy: str | None = None
    allow_http: bool = False
    account: str = "default"
    web_base_url: str = DEFAULT_WEB_BASE_URL

    def __post_init__(self) -> None:
        if not self.token or not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise ConnectionConfigError("password must be the access token: printable ASCII without spaces")
        _check_base_url(self.base_url, allow_http=self.allow_http)
        _check_url("web_base_url", self.web_base_url)
        if self.proxy is not None:
            _check_url("proxy", self.proxy)
        for name in ("requests_per_second", "timeout", "retry_timeout"):
            _check_seconds(name, getattr(self, name), above_zero=True)
        _check_seconds("settle_time", self.settle_time, above_zero=False)
        if self.retry_timeout < self.timeout:
            raise ConnectionConfigError(
                f"retry_timeout ({self.retry_timeout:g}) must not be below timeout ({self.timeout:g})"
            )
        if isinstance(self.verify, str) and not Path(self.verify).exists():
            raise ConnectionConfigError(f"verify names a CA file that does not exist: {self.verify}")

    def hurried(self, retry_timeout: float) -> ClientConfig:
        """:return: the same with a ``retry_timeout`` no longer than this, but never below ``timeout``."""
        retry_timeout = max(self.timeout, min(self.retry_timeout, retry_timeout))
        return msgspec.structs.replace(self, retry_timeout=retry_timeout)

    def __repr__(self) -> str:
        shown = {name: getattr(self, name) for name in self.__struct_fields__ if name not in {"token", "proxy"}}
        return f"ClientConfig({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # reading it is what checks it
    except ValueError as error:
        raise ConnectionConfigError(f"{name} is no URL: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConnectionConfigError(f"{name} must be a URL like https://host:port")


def _check_base_url(url: str, *, allow_http: bool) -> None:
    _check_url("host", url)
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ConnectionConfigError(
            "host must have no user, password, query or fragment; the token is the password field"
        )
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname or ""):
        raise ConnectionConfigError(
            f"plain http to {parts.hostname} would send the token unencrypted; "
            'use https, or set "allow_http": true in the extra if you must'
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_seconds(name: str, value: float, *, above_zero: bool) -> None:
    if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        raise ConnectionConfigError(
            f"{name} must be a finite number {'above' if above_zero else 'of at least'} 0, got {value}"
        )
