"""Waiting for another run that writes to the same file or folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import msgspec

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.progress import duration
from airflow_provider_leadconv.storage.base import ConcurrentRunError

log = logging.getLogger(__name__)
T = TypeVar("T")

POLL_INTERVAL = 1.0
LOG_INTERVAL = 60.0


class LockOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to lock a file or a folder.

    :param timeout: seconds to wait while another run holds the lock; 0 to fail at once.
    :param holder: names this run in the logs of others that wait for it.
    """

    timeout: float = 0.0
    holder: str = ""


@contextmanager
def locked(
    lock: Callable[[], AbstractContextManager[T]], client: LeadConversionsClient, options: LockOptions
) -> Iterator[T]:
    """Hold a lock. While another run holds it, it is tried again every second, and a line a minute is logged.

    :param lock: returns the lock as a context manager, which raises :class:`~.storage.base.ConcurrentRunError` while
        another run holds it.
    :param client: client of the export, whose clock is used.
    :return: what the lock returns.
    :raises ConcurrentRunError: if the other run still holds it after the timeout.
    """
    started = client.clock()
    log_at = started
    with ExitStack() as stack:
        while True:
            try:
                held = stack.enter_context(lock())
                break
            except ConcurrentRunError as error:
                now = client.clock()
                left = started + options.timeout - now
                if left <= 0:
                    waited = f" and has not finished within {options.timeout:g} s" if options.timeout else ""
                    raise ConcurrentRunError(
                        f"{error}{waited}. Let one run at a time write there: set max_active_runs=1 in the DAG, and "
                        "start backfills with: airflow backfill create --max-active-runs 1"
                    ) from error
                if now >= log_at:
                    log_at = now + LOG_INTERVAL
                    log.info("Waiting for at most %s: %s", duration(left), error)
                client.sleep(min(left, POLL_INTERVAL))
        yield held
