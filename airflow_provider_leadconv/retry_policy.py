"""Retry policy for tasks, for Airflow 3.3 and later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import (
    PERMANENT_ERRORS,
    LeadsNotConvertedError,
    UnavailableError,
    UnknownOutcomeError,
)

try:
    from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
except (ImportError, AttributeError) as error:
    raise ImportError("LeadConversionRetryPolicy requires Airflow 3.3; before, use retries and retry_delay") from error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class LeadConversionRetryPolicy(RetryPolicy):
    """Retry a task only if a retry can help, and after a delay that fits the error.

    - Errors of the connection, the token, the permissions or the input fail the task without a retry.
    - If the API is unavailable or throttles, the task is run again after ``unavailable_delay``. From Airflow 3.4 on, it
      is rescheduled, which uses none of its ``retries``, until ``outage_timeout`` is over. Before, it is retried.
    - If the outcome of a lead is unknown, the task is retried after ``unknown_delay``.
    - All other errors are left to the task's ``retries`` and ``retry_delay``.

    The task is never retried more often than its ``retries`` allow. Pass the policy as ``retry_policy`` to an operator,
    or to a ``@task`` that uses the hook.

    :param unavailable_delay: delay while the API is unavailable.
    :param outage_timeout: how long after the first reschedule of a try the task is rescheduled again. After that, its
        ``retries`` and ``retry_delay`` apply, and each retry may be rescheduled as long. ``None``: do not reschedule.
    :param unknown_delay: delay after an unknown outcome. It should be ``timeout`` plus ``settle_time`` of the
        connection, whose defaults add up to 60 s.
    """

    def __init__(
        self,
        *,
        unavailable_delay: timedelta = timedelta(minutes=5),
        outage_timeout: timedelta | None = timedelta(hours=1),
        unknown_delay: timedelta = timedelta(seconds=60),
    ) -> None:
        self.unavailable_delay = unavailable_delay
        self.outage_timeout = outage_timeout
        self.unknown_delay = unknown_delay

    @override
    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # Airflow's interface
        max_tries: int,
        context: Context | None = None,
    ) -> RetryDecision:
        """Return the decision for a failed task.

        :param exception: the error of the task.
        """
        # The cause of a stopped bulk run is the error that stopped it.
        reason = (exception.__cause__ if isinstance(exception, LeadsNotConvertedError) else None) or exception
        if isinstance(reason, PERMANENT_ERRORS):
            return RetryDecision.fail(reason=f"a retry cannot help: {reason}")
        if isinstance(reason, UnavailableError):
            return self._after_outage(f"the API is unavailable: {reason}")
        if isinstance(reason, UnknownOutcomeError | LeadsNotConvertedError):
            return RetryDecision.retry(delay=self.unknown_delay, reason="the outcome of some leads is unknown")
        return RetryDecision.default()

    def _after_outage(self, reason: str) -> RetryDecision:
        if self.outage_timeout is None or not hasattr(RetryDecision, "reschedule"):  # before Airflow 3.4
            return RetryDecision.retry(delay=self.unavailable_delay, reason=reason)
        decision: RetryDecision = RetryDecision.reschedule(
            self.unavailable_delay, reschedule_timeout=self.outage_timeout, reason=reason
        )
        return decision

    @override
    def serialize(self) -> dict[str, Any]:
        return {name: None if value is None else value.total_seconds() for name, value in vars(self).items()}

    @classmethod
    @override
    def deserialize(cls, data: dict[str, Any]) -> LeadConversionRetryPolicy:
        delays: dict[str, Any] = {
            name: None if seconds is None else timedelta(seconds=seconds) for name, seconds in data.items()
        }
        return cls(**delays)
