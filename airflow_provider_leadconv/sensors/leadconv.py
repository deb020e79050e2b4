"""The sensor that waits until leads are converted."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.hooks.permanent_errors import fail_without_retry
from airflow_provider_leadconv.hooks.task_progress import INTERVAL, TaskProgress
from airflow_provider_leadconv.links import SellLink, conversion_url, set_links
from airflow_provider_leadconv.metrics import count
from airflow_provider_leadconv.progress import Progress
from airflow_provider_leadconv.triggers import trigger_result
from airflow_provider_leadconv.waiting.check import LeadCheck
from airflow_provider_leadconv.waiting.lead_ids import LeadIds, read_lead_ids, shown
from airflow_provider_leadconv.waiting.outage import Outage

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

PROGRESS_INTERVAL = 60.0
_TRIGGER_TIMEOUT = "Trigger timeout"  # TriggerFailureReason.TRIGGER_TIMEOUT, which has moved between versions


class LeadConversionSensor(BaseSensorOperator):
    """Wait until a lead, or every lead of a list, is converted by any user or client.

    Returns the conversion as a dict of plain JSON types. For a list of leads, returns the list of conversions in the
    order of the leads, without duplicates.

    A poke for one lead sends one request. A poke for several leads reads the new rows of the changefeed: one request,
    and another for each 200 conversions since the last poke, but at most as many requests as there are pending leads.
    If that is too few to read all new rows, as it may be at first, the next poke looks the leads up. In mode
    ``reschedule``, no state is kept between pokes: the leads are looked up in random order until one is not converted;
    if there are more than 200 leads, the changefeed is read first.

    Before a timeout is reported, every lead is checked once more.

    With ``deferrable``, the sensor waits in the triggerer after one check on the worker. All sensors for one connection
    share one poll of the changefeed every ``poke_interval``, whatever the number of sensors and leads.
    ``exponential_backoff`` is ignored then, since a poll is shared.

    A temporary error is logged, and the check is repeated. While checks fail, mode ``reschedule`` keeps its worker
    slot, because the failures are counted in the process.

    :param lead_id: id of a lead, or several: a list, or a string of ids separated by commas. (templated)
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``. (templated)
    :param deferrable: wait in the triggerer instead of on a worker; ``mode`` is ignored then. Default: the setting
        ``[operators] default_deferrable``.
    :param max_consecutive_failures: number of checks in a row that may fail before the task fails with the last error.
        The task is retried then, never skipped. Ignored with ``silent_fail``.
    :param kwargs: parameters of all sensors, such as ``poke_interval``, ``timeout``, ``mode`` and ``soft_fail``.
    :raises AirflowFailException: if waiting cannot help: the connection, the token, the permission, or ``lead_id`` is
        invalid.
    :raises AirflowSensorTimeout: after ``timeout`` seconds.
    """

    template_fields: Sequence[str] = ("lead_id", "leadconv_conn_id")
    operator_extra_links = (SellLink(),)
    ui_color = "#d9ead3"
    # Class attributes, since the constructor of Airflow 2 reads `reschedule` before they are set below.
    deferrable = False
    _failures = 0
    _task_progress: TaskProgress | None = None

    def __init__(
        self,
        *,
        lead_id: int | str | Sequence[int | str],
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        max_consecutive_failures: int = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.lead_id = lead_id
        self.leadconv_conn_id = leadconv_conn_id
        self.deferrable = deferrable
        self.max_consecutive_failures = max_consecutive_failures
        self._logged_at = -PROGRESS_INTERVAL
        self._outage = Outage()

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook. It retries a request at most until the next check is due."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id, retry_timeout=self.poke_interval)

    @property
    @override
    def reschedule(self) -> bool:
        """Whether to release the worker slot between pokes. Not while checks fail: the process counts the failures."""
        return self.mode == "reschedule" and not self.deferrable and self._failures == 0

    @override
    def execute(self, context: Context) -> Any:
        """Wait until all leads are converted.

        :return: the conversion, or the list of conversions.
        """
        try:
            found = super().execute(context)
        except (AirflowSensorTimeout, AirflowSkipException) as timed_out:
            if timed_out.__cause__ is not None:  # with soft_fail, other errors skip the task, too
                raise
            found = self._final_check(type(timed_out))
        return self._finish(context, found)

    @override
    def poke(self, context: Context) -> PokeReturnValue:
        """Check once. With ``deferrable``, defer the task if not all leads are converted."""
        started = time.time()
        done = self._attempt(self._run_check)
        self._offer_progress(context)
        if self.deferrable and not done:
            self._defer(deadline=started + self.timeout)
        return PokeReturnValue(is_done=done, xcom_value=self._result)

    @override
    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after the trigger event, or after Airflow's trigger timeout, which leads to a final check as well."""
        if (next_kwargs or {}).get("error") == _TRIGGER_TIMEOUT:
            next_method, next_kwargs = "execute_complete", {"event": trigger_result.timeout_payload()}
        return self._finish(context, super().resume_execution(next_method, next_kwargs, context))

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002
        event: dict[str, Any],
        found: Sequence[dict[str, Any]] = (),
    ) -> Any:
        """Return the conversions that the trigger has found.

        :param event: payload of the trigger event, see :mod:`~airflow_provider_leadconv.triggers.trigger_result`.
        :param found: conversions found before the task was deferred.
        :return: the conversion, or the list of conversions.
        """
        with fail_without_retry():
            result = trigger_result.read_payload(event)
        if result.status is trigger_result.TriggerStatus.TIMEOUT:
            return self._final_check(AirflowSensorTimeout)
        by_lead = {conversion["lead_id"]: conversion for conversion in [*found, *result.conversions]}
        ordered = [by_lead[lead_id] for lead_id in self._lead_ids.ids]
        return ordered if self._lead_ids.is_list else ordered[0]

    def _finish(self, context: Context, found: Any) -> Any:
        count(sensor_success=1)
        converted = len(self._lead_ids.ids)
        TaskProgress(context.get("task_state_store")).write(
            Progress(f"{converted} of {converted} leads are converted", converted, converted)
        )
        first = found[0] if isinstance(found, list) and found else found
        if first:
            self._log_result(found if isinstance(found, list) else [found])
            try:
                web_base_url = self.hook.get_conn().config.web_base_url
            except (LeadConversionError, AirflowException) as error:  # the connection is read again after a deferral
                self.log.warning("Skipped the link into Sell, since the connection cannot be read: %s", error)
            else:
                set_links(self, context, sell=conversion_url(web_base_url, first))
        return found

    @cached_property
    def _lead_ids(self) -> LeadIds:
        return read_lead_ids(self.lead_id)

    @cached_property
    def _check(self) -> LeadCheck:
        return LeadCheck(self._lead_ids.ids)

    @property
    def _result(self) -> Any:
        found = [conversion.to_dict() for conversion in self._check.leads.conversions]
        return found if self._lead_ids.is_list else next(iter(found), None)

    def _attempt(self, check: Callable[[], None]) -> bool:
        """Run a check, and tolerate temporary errors.

        :return: whether all leads are converted; false after an error.
        """
        try:
            with fail_without_retry(), self._outage.measured():
                check()
        except LeadConversionError as error:
            self._tolerate(error)
            return False
        self._failures = 0
        self._log_progress()
        return not self._check.leads.pending

    def _run_check(self) -> None:
        check, client = self._check, self.hook.get_conn()
        if self.deferrable:
            check.check_all(client, needs_watermark=True)
        elif self.mode == "reschedule":
            check.check_until_one_is_missing(client)
        else:
            check.check_new(client)

    def _recheck(self) -> None:
        self._check.check_all(self.hook.get_conn())

    def _defer(self, deadline: float) -> None:
        from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger

        self.defer(
            trigger=LeadConversionTrigger(
                lead_ids=self._check.leads.pending,
                leadconv_conn_id=self.leadconv_conn_id,
                # The watermark is valid only if all leads were checked after it was read.
                start_watermark=self._check.high_watermark if self._failures == 0 else 0,
                poll_interval=self.poke_interval,
                deadline=deadline,
                max_consecutive_failures=None if self.silent_fail else self.max_consecutive_failures,
            ),
            method_name="execute_complete",
            kwargs={"found": [conversion.to_dict() for conversion in self._check.leads.conversions]},
            timeout=timedelta(seconds=self.timeout),
        )

    def _final_check(self, timeout: type[AirflowException]) -> Any:
        """Check every lead once more before a timeout is reported.

        :param timeout: the exception to raise if a lead is still not converted.
        """
        try:
            if self._attempt(self._recheck):
                return self._result
        except AirflowFailException:
            if not self.soft_fail:
                raise
        raise timeout(f"timed out after {self.timeout:g} s: {self._check.leads.progress}") from None

    def _tolerate(self, error: LeadConversionError) -> None:
        self._failures += 1
        if not self.silent_fail and self._failures > self.max_consecutive_failures:
            self.log.error(
                "%d checks in a row have failed, more than max_consecutive_failures=%d",
                self._failures,
                self.max_consecutive_failures,
            )
            raise error
        self.log.warning(
            "Check failed, %d in a row; trying again in %g s: %s", self._failures, self.poke_interval, error
        )

    def _offer_progress(self, context: Context) -> None:
        if self._task_progress is None:
            self._task_progress = TaskProgress(context.get("task_state_store"))
        if self.mode != "reschedule" or self.poke_interval >= INTERVAL:  # there, each poke is a process of its own
            leads = self._check.leads
            self._task_progress.offer(
                lambda: Progress(leads.progress, len(leads.found), len(leads.lead_ids), failed=self._failures)
            )

    def _log_progress(self) -> None:
        now = time.monotonic()
        if now - self._logged_at >= PROGRESS_INTERVAL:
            self._logged_at = now
            self.log.info("%s", self._check.leads.progress)

    def _log_result(self, conversions: list[dict[str, Any]]) -> None:
        if len(conversions) == 1:
            self.log.info("Lead %(lead_id)d is converted (conversion %(id)d)", conversions[0])
        else:
            lead_ids = [conversion["lead_id"] for conversion in conversions]
            self.log.info("All %d leads are converted: %s", len(lead_ids), shown(lead_ids))
