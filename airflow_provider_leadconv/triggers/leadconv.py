"""What a deferred :class:`~airflow_provider_leadconv.sensors.leadconv.LeadConversionSensor` leaves in the triggerer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_leadconv.api.errors import LeadConversionError
from airflow_provider_leadconv.triggers import verdict
from airflow_provider_leadconv.triggers.members import LeadWait
from airflow_provider_leadconv.triggers.shared_reader import shared_reader

PROGRESS_INTERVAL = 60.0


class LeadConversionTrigger(BaseTrigger):
    """Wait until all of some leads are converted, or the deadline is over.

    Whatever the number of triggers and leads, the log of a connection is read once an interval in a triggerer.

    :param lead_ids: ids of the leads.
    :param leadconv_conn_id: id of the Airflow connection; its token is read in the triggerer and goes nowhere else.
    :param mark: the highest conversion id there was before the leads were looked up; 0 if they were not.
    :param poll_interval: seconds between two readings of the log; the smallest of those who share them counts.
    :param deadline: when to give up, in seconds since the epoch, as it must outlive this process.
    :param max_consecutive_failures: how many readings in a row may fail; ``None``: any number.
    """

    def __init__(
        self,
        *,
        lead_ids: list[int],
        leadconv_conn_id: str,
        mark: int,
        poll_interval: float,
        deadline: float,
        max_consecutive_failures: int | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lead_ids = lead_ids
        self.leadconv_conn_id = leadconv_conn_id
        self.mark = mark
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.max_consecutive_failures = max_consecutive_failures

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """:return: the path of this class and what makes it anew."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "lead_ids": self.lead_ids,
            "leadconv_conn_id": self.leadconv_conn_id,
            "mark": self.mark,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "max_consecutive_failures": self.max_consecutive_failures,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, as :mod:`~airflow_provider_leadconv.triggers.verdict` has it."""
        try:
            # From here on time is measured by the loop's clock, which nobody sets.
            async with asyncio.timeout(max(0.0, self.deadline - time.time())):
                outcome = await self._wait()
        except TimeoutError:
            outcome = verdict.TIMED_OUT
        except LeadConversionError as error:
            outcome = verdict.failed(error)
        yield TriggerEvent(outcome)  # type: ignore[no-untyped-call]

    async def _wait(self) -> dict[str, Any]:
        with (
            shared_reader(self.leadconv_conn_id, self.poll_interval) as reader,
            reader.leads(self.lead_ids, self.mark, self.max_consecutive_failures) as wait,
        ):
            await self._complete(wait)
            return verdict.succeeded(wait.watch.conversions)

    async def _complete(self, wait: LeadWait) -> None:
        """Wait for all, and tell once a minute how far it is."""
        told = wait.watch.progress
        while not (await asyncio.wait([wait.done], timeout=PROGRESS_INTERVAL))[0]:
            if told != wait.watch.progress:
                told = wait.watch.progress
                self.log.info("%s", told)
        wait.done.result()
