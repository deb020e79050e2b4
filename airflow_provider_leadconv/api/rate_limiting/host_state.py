"""The adaptive rate that the processes of one user and host share, in a small file."""

from __future__ import annotations

import logging
import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from typing_extensions import override

from airflow_provider_leadconv.api.rate_limiting.adaptive import MAX_BOUNDS, AdaptiveRate
from airflow_provider_leadconv.api.rate_limiting.limiter import RateState, StateBusyError
from airflow_provider_leadconv.api.rate_limiting.locked_file import FileBusyError, LockedFile

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_AFTER: Final = 10.0
"""Seconds until a file that could not be had is tried again."""

_MAX_RESERVED: Final = 1024  # permits that processes have reserved; more are not to be believed
_MAX_DELAY: Final = 60.0  # seconds from reading the clock to having the file, while others have written it
_HEAD: Final = struct.Struct("<4sI")  # version, checksum
_BODY: Final = struct.Struct(f"<3d{2 * MAX_BOUNDS}d")  # rate, next permit, last cut; maximum rates and their permits
_VERSION: Final = b"LCR1"
_warned: set[Path] = set()  # folders of which a warning is in the log of this process


class HostState(RateState):
    """An adaptive rate in a file that other processes of the host use, too; one of its own while that cannot be had.

    :param folder: private folder of the user.
    :param name: of the file; has the same name in all processes that share the rate, and no others.
    :param max_rate: requests per second.
    """

    def __init__(self, folder: Path, name: str, max_rate: float) -> None:
        self._folder = folder
        self._file = LockedFile(folder, name)
        self._max_rate = max_rate
        self._last: AdaptiveRate | None = None  # what this process saw last
        self._own: AdaptiveRate | None = None
        self._retry_at = -math.inf

    @override
    def update(self, now: float, change: Callable[[AdaptiveRate], T]) -> T:
        if self._own is None or now >= self._retry_at:
            try:
                return self._update_file(now, change)
            except FileBusyError:
                raise StateBusyError from None
            except OSError as error:
                warn_not_shared(self._folder, error)
                self._own = self._own or AdaptiveRate.at_start(self._max_rate)
                self._retry_at = now + RETRY_AFTER
        return change(self._own)

    @override
    def reset_after_fork(self) -> None:
        self._file.reset_after_fork()
        self._own = None

    def _update_file(self, now: float, change: Callable[[AdaptiveRate], T]) -> T:
        descriptor = self._file.lock(now)
        try:
            rate = self._read(descriptor, now)
            result = change(rate)
            os.pwrite(descriptor, encoded(rate), 0)
        finally:
            self._file.unlock()
        self._last, self._own = rate, None
        return result

    def _read(self, descriptor: int, now: float) -> AdaptiveRate:
        content = os.pread(descriptor, _HEAD.size + _BODY.size + 1, 0)
        rate = decoded(content, now)
        if rate is not None:
            return rate
        if content:
            os.ftruncate(descriptor, 0)
            log.warning("The state of the rate limiter in %s is damaged, and begins anew", self._folder)
        return self._last or AdaptiveRate.at_start(self._max_rate)


def encoded(rate: AdaptiveRate) -> bytes:
    """Return what a file holds, with a checksum."""
    bounds = [number for bound in rate.bounds.items() for number in bound]
    unused = [0.0] * (2 * MAX_BOUNDS - len(bounds))
    body = _BODY.pack(rate.rate, rate.next_permit, rate.cut_at, *bounds, *unused)
    return _HEAD.pack(_VERSION, zlib.crc32(body)) + body


def decoded(content: bytes, now: float) -> AdaptiveRate | None:
    """Return what a file holds.

    :param content: of the file.
    :param now: the time.
    :return: the rate; ``None`` if there is none, or none that can be right at this time.
    """
    if len(content) != _HEAD.size + _BODY.size:
        return None
    version, checksum = _HEAD.unpack_from(content)
    if version != _VERSION or checksum != zlib.crc32(content[_HEAD.size :]):
        return None
    current, next_permit, cut_at, *bounds = _BODY.unpack_from(content, _HEAD.size)
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    rate = AdaptiveRate(current, next_permit, cut_at, {max_rate: at for max_rate, at in pairs if max_rate})
    return rate if _is_plausible(rate, now) else None


def warn_not_shared(folder: Path, error: OSError) -> None:
    """Log that the rate limiter of this process is its own; once for each folder."""
    if folder not in _warned:
        _warned.add(folder)
        log.warning(
            "This process does not share its rate limiter with the other processes of this host: %s. More requests may "
            'be throttled. To do without sharing, set "rate_limit_scope": "process" in the extra of the connection',
            error,
        )


def _is_plausible(rate: AdaptiveRate, now: float) -> bool:
    rates = [rate.rate, *rate.bounds]
    latest = max(rate.next_permit, *rate.bounds.values()) if rate.bounds else rate.next_permit
    return (
        all(math.isfinite(each) and each > 0 for each in rates)
        and (latest - now) * min(rates) <= _MAX_RESERVED
        and rate.cut_at <= max(now + _MAX_DELAY, latest)
        and not any(math.isnan(at) for at in (rate.next_permit, rate.cut_at, *rate.bounds.values()))
    )
