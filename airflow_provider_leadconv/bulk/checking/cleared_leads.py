"""The queue of leads to send. A lead is cleared when a check shows that it is not converted; that does not last."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from math import inf

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import ConnectionConfigError

MAX_CLEARANCE_AGE = 60.0
"""Seconds. Nothing is sent for a lead whose last check began earlier: others may have converted it meanwhile."""

MIN_REQUESTS_PER_SECOND = 0.02
"""With fewer, the permit for a lead would come when its check is too old."""


def check_rate(config: ClientConfig) -> None:
    """Check that a lead can be sent soon enough after its check.

    :raises ConnectionConfigError: if the rate is too low.
    """
    if config.requests_per_second < MIN_REQUESTS_PER_SECOND:
        raise ConnectionConfigError(
            f"requests_per_second is {config.requests_per_second:g}, which is too low for a bulk conversion: "
            f"each lead is sent at most {MAX_CLEARANCE_AGE:.0f} s after its check",
            remedy=f'Set "requests_per_second" in the extra of the connection to {MIN_REQUESTS_PER_SECOND:g} or more.',
        )


class ClearedLeads:
    """Leads to send, first in, first out, each with the time at which it was known to be unconverted.

    Threads may ask for :meth:`is_fresh`.

    :param clock: seconds on a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._leads: deque[tuple[int, float]] = deque()
        self._head_read_at = -inf

    def __len__(self) -> int:
        return len(self._leads)

    def add(self, lead_ids: Iterable[int], checked_at: float) -> None:
        """Add leads.

        :param checked_at: when the check began that would have shown their conversions.
        """
        self._leads.extend((lead_id, checked_at) for lead_id in lead_ids)

    def drop_all_but(self, wanted: AbstractSet[int]) -> None:
        """Drop leads from the front until the first one is wanted."""
        while self._leads and self._leads[0][0] not in wanted:
            self._leads.popleft()

    def note_head(self, read_at: float) -> None:
        """Note a reading of the changefeed's head: what was cleared before, and is not in it, is cleared again.

        :param read_at: when the reading began.
        """
        self._head_read_at = max(self._head_read_at, read_at)

    def pop(self) -> tuple[int, float]:
        """Take the first lead.

        :return: the lead, and when the check began that cleared it.
        """
        return self._leads.popleft()

    @property
    def is_stale(self) -> bool:
        """Whether the first lead may not be sent before the changefeed's head is read."""
        return bool(self._leads) and not self.is_fresh(self._leads[0][1])

    def is_fresh(self, checked_at: float) -> bool:
        """Return whether a lead may still be sent.

        :param checked_at: when the check began that cleared it.
        """
        return self._clock() - max(checked_at, self._head_read_at) <= MAX_CLEARANCE_AGE
