"""Whether a bulk conversion ends before its last lead, and why."""

from __future__ import annotations

from airflow_provider_leadconv.api.exceptions import LeadConversionError


class StopState:
    """Shared by the parts of a run: each may stop it, and each asks before it starts something new."""

    def __init__(self) -> None:
        self.is_stopping = False
        """Whether nothing more is checked or sent. What is in flight or unknown is still resolved."""
        self.error: LeadConversionError | None = None
        """The first error that stopped the run."""

    def stop(self, error: LeadConversionError | None = None) -> None:
        """Check and send nothing more.

        :param error: why; ``None`` if the caller wants it.
        """
        self.error = self.error or error
        self.is_stopping = True
