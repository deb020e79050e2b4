"""Which limiter the requests of a client share."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.rate_limiting.host_state import HostState, warn_not_shared
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.api.rate_limiting.private_folder import check_is_local, state_folder

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIME_NAMESPACE = Path("/proc/self/ns/time")
_PORTS = {"http": 80, "https": 443}

_limiters: WeakValueDictionary[tuple[Path, str, float], AdaptiveRateLimiter] = WeakValueDictionary()


def limiter_of(config: ClientConfig, token: Secret, clock: Callable[[], float]) -> AdaptiveRateLimiter:
    """Return the limiter for requests with a token: that of the host, unless the configuration has the scope process.

    :param config: where to, and how fast.
    :param token: of the requests.
    :param clock: seconds; a limiter of the host needs :func:`time.monotonic`, which all processes share.
    """
    max_rate = config.requests_per_second
    if config.rate_limit_scope == "process" or clock is not time.monotonic:
        return AdaptiveRateLimiter(max_rate, clock=clock)
    folder = state_folder()
    try:
        check_is_local(folder)
        name = state_name(config.base_url, token)
    except OSError as error:  # also where the system does not say which boot this is
        warn_not_shared(folder, error)
        return AdaptiveRateLimiter(max_rate, clock=clock)
    key = folder, name, max_rate
    limiter = _limiters.get(key)
    if limiter is None:
        limiter = _limiters[key] = AdaptiveRateLimiter(max_rate, clock=clock, state=HostState(*key))
    return limiter


def state_name(base_url: str, token: Secret) -> str:
    """Return the name of the file with the state: the same for all requests that one limit of the API counts.

    It is a hash of the host and the token. The token cannot be found from it, as tokens are long random texts. Times of
    the file are those of one clock, so each boot of the system, and each time namespace, has a name of its own.

    :raises OSError: if the system does not say which boot this is.
    """
    parts = urlsplit(base_url)
    port = parts.port or _PORTS.get(parts.scheme.lower())
    namespace = _TIME_NAMESPACE.stat().st_ino if _TIME_NAMESPACE.exists() else 0
    shared_by = f"{parts.hostname}:{port} {_BOOT_ID.read_text().strip()} {namespace}"
    return hmac.new(token.reveal().encode(), shared_by.encode(), hashlib.sha256).hexdigest()[:32]
