"""How to reach the API: the fields of an Airflow connection, checked."""

from __future__ import annotations

import ipaddress
import math
import re
from pathlib import Path
from typing import Literal, Self, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec

from airflow_provider_leadconv.api.exceptions import AuthenticationError, ConnectionConfigError

DEFAULT_BASE_URL = "https://api.getbase.com"
DEFAULT_WEB_BASE_URL = "https://app.futuresimple.com"
_MAX_HOST = 253
RateLimitScope = Literal["host", "process"]
_USE_HTTPS = 'Use https. Only in a network you trust, set "allow_http": true in the extra of the connection.'
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)


class Secret:
    """Hides a text from every representation, be it by ``repr``, ``rich``, ``structlog`` or a serializer of JSON.

    It can be copied, pickled and compared, with texts too.

    :param value: the text.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    @classmethod
    def wrap(cls, value: str | Self) -> Self:
        """Return a text as a secret, or the secret itself."""
        return cls(value) if isinstance(value, str) else value

    def reveal(self) -> str:
        """Return the text. Call it where the text is put to use, and keep it in no variable."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == (other._value if isinstance(other, Secret) else other)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        return type(self), (self._value,)


class ClientConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a client needs to know.

    :param token: access token. Kept as a :class:`Secret`.
    :param base_url: scheme, host, port and maybe a path prefix.
    :param requests_per_second: never send faster. The API allows 10 a second per token (developer.zendesk.com,
        rate limits), shared by everyone who uses the token.
    :param rate_limit_scope: who shares the rate limiter: all processes of this user and host (``host``), or the threads
        of one process (``process``).
    :param timeout: seconds one attempt may take, from connecting to the last byte.
    :param retry_timeout: seconds all attempts of one request may take together.
    :param settle_time: seconds by which a conversion may become visible late. An unknown result is judged
        ``timeout + settle_time`` after its request was sent, not earlier.
    :param verify: check TLS certificates: against the system's, against none, or against those in a file.
    :param proxy: URL of an HTTP proxy; ``None``: what the environment says, but none to this machine. Kept as a
        :class:`Secret`, as it may hold a password.
    :param allow_http: allow plain http to a host other than this machine, and through a proxy.
    :param check_count: refuse a page whose ``meta.count`` is neither the number of its items nor a total.
    :param account: name of the Sell account in assets and lineage.
    :param web_base_url: where Sell's web app shows this account, for links.
    :param connection: id of the Airflow connection, which errors name; ``None`` if there is none.
    :raises ConnectionConfigError: naming the field that is wrong.
    """

    token: Secret | str
    base_url: str = DEFAULT_BASE_URL
    requests_per_second: float = 10.0
    rate_limit_scope: RateLimitScope = "host"
    timeout: float = 30.0
    retry_timeout: float = 300.0
    settle_time: float = 30.0
    verify: bool | str = True
    proxy: Secret | str | None = None
    allow_http: bool = False
    check_count: bool = True
    account: str = "default"
    web_base_url: str = DEFAULT_WEB_BASE_URL
    connection: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "token", Secret.wrap(self.token))
        check_token(self.token)
        _check_base_url(self.base_url, allow_http=self.allow_http)
        web = check_url("web_base_url", self.web_base_url)
        if web.username or web.password:
            raise _wrong("web_base_url", "must have no user and no password, since it is shown in links")
        if self.proxy is not None:
            msgspec.structs.force_setattr(self, "proxy", Secret.wrap(self.proxy))
            check_url("proxy", self.proxy)
            if self.base_url.lower().startswith("http:") and not self.allow_http:
                raise ConnectionConfigError(
                    "plain http through a proxy would send the token unencrypted", remedy=_USE_HTTPS
                )
        for name in ("requests_per_second", "timeout", "retry_timeout"):
            _check_seconds(name, getattr(self, name), above_zero=True)
        _check_scope(self.rate_limit_scope)
        _check_seconds("settle_time", self.settle_time, above_zero=False)
        if self.retry_timeout < self.timeout:
            raise _wrong("retry_timeout", f"({self.retry_timeout:g}) must not be below timeout ({self.timeout:g})")
        if isinstance(self.verify, str) and not Path(self.verify).exists():
            raise _wrong("verify", f"is a CA file that does not exist on this machine: {self.verify}")

    def with_retry_timeout(self, retry_timeout: float) -> ClientConfig:
        """Return the same with a ``retry_timeout`` no longer than this, but never below ``timeout``."""
        retry_timeout = max(self.timeout, min(self.retry_timeout, retry_timeout))
        return msgspec.structs.replace(self, retry_timeout=retry_timeout)


def check_url(name: str, url: Secret | str, *, remedy: str | None = None) -> SplitResult:
    """Check that both HTTP libraries can use a URL.

    No error quotes the URL, as it may hold a password: in ``http://user:p/w@host`` even the port is a part of it.

    :param name: what to call the URL in an error.
    :param url: scheme, host, port and maybe a path.
    :param remedy: what to do if it is wrong; default: correct the field of the connection with this name.
    :return: its parts.
    :raises ConnectionConfigError: if it is none, or names no valid host or port.
    """
    url = Secret.wrap(url).reveal()
    parts = _split(url)
    if parts is None:
        raise _wrong(name, "is not a valid URL: the port must be a number from 1 to 65535", remedy)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _wrong(name, "must be a URL like https://host:port", remedy)
    if not _is_host(parts.hostname):
        raise _wrong(name, "is not a valid URL: the host must be a name like api.example.com or an IP address", remedy)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise _wrong(name, "is not a valid URL: percent-encode spaces and characters that are not ASCII", remedy)
    return parts


def check_token(token: Secret | str) -> None:
    """Check that a text can be an access token. No error quotes it.

    :raises ConnectionConfigError: if it is empty, or no header can contain it.
    """
    text = Secret.wrap(token).reveal()
    if not text:
        raise ConnectionConfigError("the password is empty", remedy=AuthenticationError.remedy)
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ConnectionConfigError(
            "the password is not an access token, which is printable ASCII without spaces",
            remedy=AuthenticationError.remedy,
        )


def is_loopback(host: str) -> bool:
    """Return whether a host name or an IP address always means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _split(url: str) -> SplitResult | None:
    """Parse a URL; the errors of ``urlsplit`` quote it, so they go no further."""
    try:
        parts = urlsplit(url)
        port = parts.port  # reading it is what checks it
    except ValueError:
        return None
    brackets_hold_no_address = "[" in parts.netloc and ":" not in (parts.hostname or "")
    return None if port == 0 or brackets_hold_no_address else parts


def _is_host(host: str) -> bool:
    if ":" in host or host.rpartition(".")[2].isdigit():
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True
    labels = host.removesuffix(".").split(".")
    return len(host) <= _MAX_HOST and all(_LABEL.fullmatch(label) for label in labels)


def _check_base_url(url: str, *, allow_http: bool) -> None:
    parts = check_url("host", url)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _wrong("host", "must have no user, password, query or fragment; the token goes into the password field")
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.hostname or ""):
        raise ConnectionConfigError(
            f"plain http to {parts.hostname} would send the token unencrypted", remedy=_USE_HTTPS
        )


def _check_scope(scope: str) -> None:
    if scope not in (known := get_args(RateLimitScope)):
        raise _wrong("rate_limit_scope", f"must be {' or '.join(known)}, got {scope!r:.80}")


def _check_seconds(name: str, value: float, *, above_zero: bool) -> None:
    if not math.isfinite(value) or value < 0 or (above_zero and value == 0):
        raise _wrong(name, f"must be a finite number {'above' if above_zero else 'of at least'} 0, got {value}")


def _wrong(name: str, problem: str, remedy: str | None = None) -> ConnectionConfigError:
    """Return the error for a field of the connection or a key of its extra."""
    where = "the host" if name == "host" else f'"{name}" in the extra'
    return ConnectionConfigError(f"{name} {problem}", remedy=remedy or f"Correct {where} of the connection.")
