"""Permits of the rate limiter, acquired by the one thread that decides, so that it can decide last what to send."""

from __future__ import annotations

from math import inf

from airflow_provider_leadconv.api.client import LeadConversionsClient


class Permits:
    """Acquires permits for a client's next requests, without waiting for them."""

    def __init__(self, client: LeadConversionsClient) -> None:
        self._client = client
        self._due = -inf

    def take(self) -> bool:
        """Return whether there is a permit now. If so, a request must be submitted."""
        now = self._client.clock()
        if now < self._due:
            return False
        delay = self._client.acquire_permit()
        self._due = now + delay
        return delay == 0.0

    @property
    def due_in(self) -> float:
        """Seconds until it is worth trying again."""
        return max(0.0, self._due - self._client.clock())
