"""When to run a failed task again, for Airflow 3.3 and later."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_leadconv.api.errors import LeadsNotConvertedError, UnavailableError, UnknownOutcomeError
from airflow_provider_leadconv.failing import PERMANENT_ERRORS

try:
    from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
except (ImportError, AttributeError) as error:
    raise ImportError(
        "LeadConversionRetryPolicy needs Airflow 3.3 or later; below, use retries and retry_delay"
    ) from error

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class LeadConversionRetryPolicy(RetryPolicy):
    """Retry what a retry can help with, and when it can.

    - What is wrong with the connection, the token, the rights or the input fails the task at once.
    - A host that is gone or throttles is left alone for a while.
    - Leads in doubt are looked at again once the server must be done with them.
    - Anything else is left to the task's ``retries`` and ``retry_delay``.

    It never makes more retries than the task has. Pass it as ``retry_policy`` to an operator or a ``@task`` that uses
    the hook.

    :param unavailable_delay: time to wait while the API cannot be used.
    :param unknown_delay: time to wait with leads in doubt; ``timeout`` plus ``settle_time`` of the connection, 60 s by
        default.
    """

    def __init__(
        self,
        *,
        unavailable_delay: timedelta = timedelta(minutes=5),
        unknown_delay: timedelta = timedelta(seconds=60),
    ) -> None:
        self.unavailable_delay = unavailable_delay
        self.unknown_delay = unknown_delay

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002  # Airflow's interface
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Decide, as :meth:`airflow.sdk.RetryPolicy.evaluate` is to.

        :param exception: what the task raised.
        """
        # A bulk that was stopped says what stopped it.
        reason = (exception.__cause__ if isinstance(exception, LeadsNotConvertedError) else None) or exception
        if isinstance(reason, PERMANENT_ERRORS):
            return RetryDecision.fail(reason=f"a retry cannot help: {reason}")
        if isinstance(reason, UnavailableError):
            return RetryDecision.retry(delay=self.unavailable_delay, reason="the API cannot be used now")
        if isinstance(reason, UnknownOutcomeError | LeadsNotConvertedError):
            return RetryDecision.retry(delay=self.unknown_delay, reason="some leads are in doubt")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """:return: the delays, in seconds."""
        return {
            "unavailable_delay": self.unavailable_delay.total_seconds(),
            "unknown_delay": self.unknown_delay.total_seconds(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> LeadConversionRetryPolicy:
        """:return: the policy that was serialised."""
        return cls(**{name: timedelta(seconds=seconds) for name, seconds in data.items()})
