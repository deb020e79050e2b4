"""The trigger of a deferred :class:`~airflow_provider_leadconv.sensors.leadconv.LeadConversionSensor`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.progress import duration
from airflow_provider_leadconv.triggers import trigger_result
from airflow_provider_leadconv.triggers.shared_reader import shared_reader
from airflow_provider_leadconv.triggers.subscribers import LeadWait
from airflow_provider_leadconv.waiting.lead_ids import shown

PROGRESS_INTERVAL = 60.0


class LeadConversionTrigger(BaseTrigger):
    """Wait until all leads are converted, or until a deadline.

    All triggers for one connection in a triggerer process share one poll per interval, whatever the number of leads.

    :param lead_ids: ids of the leads.
    :param leadconv_conn_id: id of the Airflow connection. The triggerer reads it, so that the token is not serialized.
    :param start_watermark: the highest conversion id before the leads were looked up; 0 if they were not looked up.
    :param poll_interval: seconds between two polls; the shortest interval of all triggers for the connection applies.
    :param deadline: when to stop waiting, in seconds since the epoch, as it must be valid after a restart.
    :param max_consecutive_failures: number of requests in a row that may fail; ``None``: no limit.
    """

    def __init__(
        self,
        *,
        lead_ids: list[int],
        leadconv_conn_id: str,
        start_watermark: int,
        poll_interval: float,
        deadline: float,
        max_consecutive_failures: int | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lead_ids = lead_ids
        self.leadconv_conn_id = leadconv_conn_id
        self.start_watermark = start_watermark
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.max_consecutive_failures = max_consecutive_failures

    @override
    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "lead_ids": self.lead_ids,
            "leadconv_conn_id": self.leadconv_conn_id,
            "start_watermark": self.start_watermark,
            "poll_interval": self.poll_interval,
            "deadline": self.deadline,
            "max_consecutive_failures": self.max_consecutive_failures,
        }

    @override
    async def run(self) -> AsyncIterator[TriggerEvent]:
        self.log.info(
            "Waiting for %s (connection %r, poll every %g s)",
            shown(self.lead_ids),
            self.leadconv_conn_id,
            self.poll_interval,
        )
        try:
            # From here on, time is measured by the event loop's monotonic clock.
            async with asyncio.timeout(max(0.0, self.deadline - time.time())) as limit:
                payload = await self._wait(limit)
        except TimeoutError:
            self.log.info("Timed out; the task checks the leads once more")
            payload = trigger_result.timeout_payload()
        except LeadConversionError as error:
            self.log.error("Stopped waiting: %s", error)  # noqa: TRY400
            payload = trigger_result.error_payload(error)
        yield TriggerEvent(payload)  # type: ignore[no-untyped-call]

    async def _wait(self, limit: asyncio.Timeout) -> dict[str, Any]:
        with (
            shared_reader(self.leadconv_conn_id, self.poll_interval) as reader,
            reader.wait_for_leads(self.lead_ids, self.start_watermark, self.max_consecutive_failures) as wait,
        ):
            await self._wait_and_log(wait, limit.when() or math.inf)
            return trigger_result.success_payload(wait.leads.conversions)

    async def _wait_and_log(self, wait: LeadWait, deadline: float) -> None:
        clock = asyncio.get_running_loop().time
        while not (await asyncio.wait([wait.done], timeout=PROGRESS_INTERVAL))[0]:
            self.log.info("%s; %s until the timeout", wait.leads.progress, duration(deadline - clock()))
            if wait.last_error is not None:
                self.log.warning("The last request failed, and is retried: %s", wait.last_error)
        wait.done.result()
        self.log.info("%s", wait.leads.progress)
