"""Wait in a DAG until leads are converted."""

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

from airflow_provider_leadconv.api.errors import LeadConversionError
from airflow_provider_leadconv.failing import permanent_errors_fail
from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID, LeadConversionHook
from airflow_provider_leadconv.jobs.lead_check import LeadCheck
from airflow_provider_leadconv.jobs.waiting import read_lead_ids
from airflow_provider_leadconv.links import SellLink, conversion_url, tell_links
from airflow_provider_leadconv.metrics import count
from airflow_provider_leadconv.triggers import verdict

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

PROGRESS_INTERVAL = 60.0
_AIRFLOWS_TIMER = "Trigger timeout"  # TriggerFailureReason.TRIGGER_TIMEOUT, which has moved between versions


class LeadConversionSensor(BaseSensorOperator):
    """Wait until a lead, or every lead of a list, is converted; by whom and how does not matter.

    Returns the conversion as a dict of plain JSON types, or the list of them in the order asked for, repeated ids once.

    A poke for one lead is one request. A poke for several reads what is new in the log: one request, and another for
    each 200 conversions since the last poke, but never more requests than there are leads left to wait for. If that
    is too few to read all that is new, as it may be at first, the next poke looks the leads up. In mode ``reschedule``
    nothing is remembered between pokes: the leads are looked up in random order until one is not converted, and more
    than 200 are looked for in the log first.

    Before a timeout is reported, every lead is looked for once more.

    ``deferrable`` waits in the triggerer, after one check on the worker. All who wait there on one connection share one
    reading of the log every ``poke_interval``, whatever the number of sensors and leads; ``exponential_backoff`` does
    not apply, as it is not one sensor's to set.

    An error that only time can mend is logged and waited out. While it lasts, mode ``reschedule`` keeps its worker
    slot, as what counts the failures is the process.

    :param lead_id: id of a lead, or a list of them; templated.
    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``; templated.
    :param deferrable: wait in the triggerer instead of on a worker; ``mode`` has no meaning then. Default: what
        ``[operators] default_deferrable`` says.
    :param max_consecutive_failures: how many checks in a row may fail before the task does, with the last error; it is
        retried then, and never skipped. Not counted with ``silent_fail``.
    :param kwargs: as of every sensor: ``poke_interval``, ``timeout``, ``mode``, ``soft_fail``.
    :raises AirflowFailException: if waiting cannot help: the connection, the token, the permission, or ``lead_id`` is
        wrong.
    :raises AirflowSensorTimeout: after ``timeout`` seconds.
    """

    template_fields: Sequence[str] = ("lead_id", "leadconv_conn_id")
    operator_extra_links = (SellLink(),)
    ui_color = "#d9ead3"
    deferrable = False  # this and the next of the class, as the constructor of Airflow 2 asks for `reschedule`
    _failures = 0

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
        self._told_at = -PROGRESS_INTERVAL

    @cached_property
    def hook(self) -> LeadConversionHook:
        """The hook. A check is repeated no longer than until the next one is due."""
        return LeadConversionHook(leadconv_conn_id=self.leadconv_conn_id, retry_timeout=self.poke_interval)

    @property
    def reschedule(self) -> bool:
        """Whether to give the worker slot back between pokes. Not while checks fail: the process counts them."""
        return self.mode == "reschedule" and not self.deferrable and self._failures == 0

    def execute(self, context: Context) -> Any:
        """Wait.

        :return: the conversion, or the list of them; see the class.
        """
        try:
            found = super().execute(context)
        except (AirflowSensorTimeout, AirflowSkipException) as timed_out:
            if timed_out.__cause__ is not None:  # with soft_fail, other errors skip, too
                raise
            found = self._last_look(type(timed_out))
        return self._end(context, found)

    def poke(self, context: Context) -> PokeReturnValue:  # noqa: ARG002
        """Check once; defer, if that is wanted and not all leads are converted."""
        started = time.time()
        done = self._check(self._look)
        if self.deferrable and not done:
            self._defer(deadline=started + self.timeout)
        return PokeReturnValue(is_done=done, xcom_value=self._result)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after the triggerer, or after Airflow's own timer if that was faster: it, too, gives a last look."""
        if (next_kwargs or {}).get("error") == _AIRFLOWS_TIMER:
            next_method, next_kwargs = "execute_complete", {"event": verdict.TIMED_OUT}
        return self._end(context, super().resume_execution(next_method, next_kwargs, context))

    def execute_complete(
        self,
        context: Context,  # noqa: ARG002
        event: dict[str, Any],
        found: Sequence[dict[str, Any]] = (),
    ) -> Any:
        """Take what the trigger found.

        :param event: as of :mod:`~airflow_provider_leadconv.triggers.verdict`.
        :param found: what was found before.
        """
        with permanent_errors_fail():
            conversions = verdict.conversions_of(event)
        if conversions is None:
            return self._last_look(AirflowSensorTimeout)
        by_lead = {conversion["lead_id"]: conversion for conversion in [*found, *conversions]}
        ordered = [by_lead[lead_id] for lead_id in self._lead_ids[0]]
        return ordered if self._lead_ids[1] else ordered[0]

    def _end(self, context: Context, found: Any) -> Any:
        count(waits=1)
        first = found[0] if isinstance(found, list) and found else found
        if first:
            try:
                web_base_url = self.hook.get_conn().config.web_base_url
            except (LeadConversionError, AirflowException) as error:  # of the connection, which is read anew
                self.log.warning("No link into Sell: %s", error)
            else:
                tell_links(context, sell=conversion_url(web_base_url, first))
        return found

    @cached_property
    def _lead_ids(self) -> tuple[list[int], bool]:
        return read_lead_ids(self.lead_id)

    @cached_property
    def _leads(self) -> LeadCheck:
        return LeadCheck(self._lead_ids[0])

    @property
    def _result(self) -> Any:
        found = [conversion.to_dict() for conversion in self._leads.watch.conversions]
        return found if self._lead_ids[1] else next(iter(found), None)

    def _check(self, look: Callable[[], None]) -> bool:
        """Look for the pending leads.

        :return: whether there are none left. Not if an error leaves it open.
        """
        try:
            with permanent_errors_fail():
                look()
        except LeadConversionError as error:
            self._tolerate(error)
            return False
        self._failures = 0
        self._tell_progress()
        return not self._leads.watch.pending

    def _look(self) -> None:
        leads, client = self._leads, self.hook.get_conn()
        if self.deferrable:
            leads.look_for_all(client, take_mark=True)
        elif self.mode == "reschedule":
            leads.look_until_one_is_missing(client)
        else:
            leads.look_for_news(client)

    def _look_anew(self) -> None:
        self._leads.look_for_all(self.hook.get_conn())

    def _defer(self, deadline: float) -> None:
        from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger

        self.defer(
            trigger=LeadConversionTrigger(
                lead_ids=self._leads.watch.pending,
                leadconv_conn_id=self.leadconv_conn_id,
                # A mark is worth something only if all were looked for after it was taken.
                mark=self._leads.mark if self._failures == 0 else 0,
                poll_interval=self.poke_interval,
                deadline=deadline,
                max_consecutive_failures=None if self.silent_fail else self.max_consecutive_failures,
            ),
            method_name="execute_complete",
            kwargs={"found": [conversion.to_dict() for conversion in self._leads.watch.conversions]},
            timeout=timedelta(seconds=self.timeout),
        )

    def _last_look(self, timeout: type[AirflowException]) -> Any:
        """Look for every lead once more, before a timeout is reported.

        :param timeout: what to raise if one is still not converted.
        """
        try:
            if self._check(self._look_anew):
                return self._result
        except AirflowFailException:
            if not self.soft_fail:
                raise
        raise timeout(f"{self._leads.watch.progress} after {self.timeout:g} s") from None

    def _tolerate(self, error: LeadConversionError) -> None:
        self._failures += 1
        count = f"check {self._failures} in a row failed"
        if not self.silent_fail and self._failures > self.max_consecutive_failures:
            self.log.error("%s, more than max_consecutive_failures=%d", count, self.max_consecutive_failures)
            raise error
        self.log.warning("%s, waiting on: %s", count, error)

    def _tell_progress(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= PROGRESS_INTERVAL:
            self._told_at = now
            self.log.info("%s", self._leads.watch.progress)
