"""Which limiter the requests of a client share."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.rate_limiting.host_state import HostState, warn_not_shared
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.api.rate_limiting.private_folder import check_is_local, state_folder
from airflow_provider_leadconv.api.transports.forking import reset_in_children

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")
_PORTS = {"http": 80, "https": 443}

_KEPT = 64
"""Limiters that are kept although no client uses them."""

_Key = tuple[Path | None, str, float]
"""Folder and name of the state, or hash of the host and the token; requests per second."""


class _Limiters:
    """The limiters of this process, each with a key. Threads may share it.

    A limiter that no client uses any more is kept for a while: a process that makes a client for each request must not
    begin anew each time.
    """

    def __init__(self) -> None:
        self._used: WeakValueDictionary[_Key, AdaptiveRateLimiter] = WeakValueDictionary()
        self._recent: dict[_Key, AdaptiveRateLimiter] = {}  # the least recently asked for comes first
        self.reset_after_fork()
        reset_in_children(self)

    def reset_after_fork(self) -> None:
        """Keep the limiters, which are reset themselves."""
        self._lock = threading.Lock()

    def get(self, key: _Key, make: Callable[[], AdaptiveRateLimiter]) -> AdaptiveRateLimiter:
        """Return the limiter with a key; it is made at the first call."""
        with self._lock:
            limiter = self._recent.pop(key, None) or self._used.get(key) or make()
            self._recent[key] = self._used[key] = limiter
            if len(self._recent) > _KEPT:
                del self._recent[next(iter(self._recent))]
            return limiter


_limiters = _Limiters()


def limiter_of(config: ClientConfig, token: Secret, clock: Callable[[], float]) -> AdaptiveRateLimiter:
    """Return the limiter for requests with a token: that of the host, or of the process if the configuration says so.

    :param config: where to, and how fast.
    :param token: of the requests.
    :param clock: seconds; only limiters on :func:`time.monotonic`, which all processes share, are shared.
    """
    max_rate = config.requests_per_second
    if clock is not time.monotonic:
        return AdaptiveRateLimiter(max_rate, clock=clock)
    if config.rate_limit_scope == "host":
        folder = state_folder()
        try:
            check_is_local(folder)
            name = state_name(config.base_url, token)
        except OSError as error:  # also where the system does not say which boot this is
            warn_not_shared(folder, error)
        else:
            key = folder, name, max_rate
            return _limiters.get(key, lambda: AdaptiveRateLimiter(max_rate, state=HostState(*key)))
    of_process = None, _hash(token, _host(config.base_url)), max_rate
    return _limiters.get(of_process, lambda: AdaptiveRateLimiter(max_rate))


def state_name(base_url: str, token: Secret) -> str:
    """Return the name of the file with the state: the same for all requests that one limit of the API counts.

    It is a hash of the host and the token. The token cannot be found from it, as tokens are long random texts. Times of
    the file are those of one clock, so each boot of the system, and each time namespace, has a name of its own.

    :raises OSError: if the system does not say which boot this is.
    """
    namespace = _TIME_NAMESPACE.stat().st_ino if _TIME_NAMESPACE.exists() else 0
    return _hash(token, f"{_host(base_url)} {_BOOT_ID.read_text().strip()} {namespace}")


def _host(base_url: str) -> str:
    """Return the same text for all spellings of a host and its port."""
    parts = urlsplit(base_url)
    return f"{(parts.hostname or '').removesuffix('.')}:{parts.port or _PORTS.get(parts.scheme.lower())}"


def _hash(token: Secret, text: str) -> str:
    return hmac.new(token.reveal().encode(), text.encode(), hashlib.sha256).hexdigest()[:32]
