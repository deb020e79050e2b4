"""A thousand triggers in Airflow's own trigger runner, against a sandbox with the API's rate limit."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.capabilities import needs_running_airflow

needs_running_airflow.or_skip_module()

from airflow.executors.workloads import RunTrigger  # noqa: E402  # not there in every version
from airflow.jobs.triggerer_job_runner import TriggerRunner, messages  # noqa: E402
from airflow.models.trigger import Trigger  # noqa: E402

from airflow_provider_leadconv.sandbox import Sandbox  # noqa: E402
from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger  # noqa: E402

INTERVAL = 5.0


class Comms:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self.fired: dict[int, tuple[float, Any]] = {}
        self._reader_task = asyncio.ensure_future(asyncio.Event().wait())

    async def asend(self, message: Any) -> Any:
        if isinstance(message, messages.TriggerStateChanges):
            for number, event, *_ in message.events or ():  # later versions add a field
                self.fired[number] = time.monotonic(), event.payload
            return messages.TriggerStateSync(to_create=[], to_cancel=[])
        return None


class Runner(TriggerRunner):
    """A trigger runner that talks to :class:`Comms`."""

    async def init_comms(self) -> None:
        self.comms_decoder = Comms()  # type: ignore[assignment]


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "")
    with Sandbox(leads=1000, conversions=2000, rate=10) as sandbox:
        # What was first seen less than settle_time ago is read again at each poll: here 25 rows a second.
        connection = {**sandbox.connection, "extra": {"settle_time": INTERVAL}}
        monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps(connection))
        yield sandbox


def workload(number: int, lead_id: int, watermark: int) -> RunTrigger:
    trigger = LeadConversionTrigger(
        lead_ids=[lead_id],
        leadconv_conn_id="leadconv_default",
        start_watermark=watermark,
        poll_interval=INTERVAL,
        deadline=time.time() + 3600,
        max_consecutive_failures=10,
    )
    classpath, arguments = trigger.serialize()
    return RunTrigger(id=number, ti=None, classpath=classpath, encrypted_kwargs=Trigger.encrypt_kwargs(arguments))


@pytest.mark.slow
def test_a_thousand_triggers_cost_two_requests_an_interval(sandbox: Sandbox) -> None:
    leads = sandbox.leads
    watermark = sandbox.conversions[0]["id"]
    converted: dict[int, float] = {}
    longest = 0.0
    run_handle = asyncio.Handle._run

    def measured(handle: asyncio.Handle) -> None:
        nonlocal longest
        began = time.thread_time()
        run_handle(handle)
        task = getattr(handle._callback, "__self__", None)
        if isinstance(task, asyncio.Task) and task.get_name().startswith("leadconv "):
            longest = max(longest, time.thread_time() - began)

    async def main() -> Comms:
        runner = Runner()
        runner.to_create.extend(workload(number, lead, watermark) for number, lead in enumerate(leads))
        running = asyncio.ensure_future(runner.arun())
        await asyncio.sleep(15)
        sandbox.clear_requests()
        asyncio.Handle._run = measured  # type: ignore[method-assign]
        for number, lead in sorted(enumerate(leads), key=lambda _: random.random()):
            sandbox.add_conversion(lead)
            converted[number] = time.monotonic()
            await asyncio.sleep(0.04)
        await asyncio.sleep(INTERVAL + 3)
        asyncio.Handle._run = run_handle  # type: ignore[method-assign]
        runner.stop = True
        await running
        return runner.comms_decoder  # type: ignore[return-value]

    comms = asyncio.run(main())
    waits = [comms.fired[number][0] - converted[number] for number in converted]
    starts = [request.time for request in sandbox.requests]
    most = max(sum(start <= other < start + INTERVAL for other in starts) for start in starts)
    print(f"longest wait {max(waits):.2f} s, {len(starts)} requests, most in 5 s {most}, step {longest * 1000:.1f} ms")
    assert {payload["status"] for _, payload in comms.fired.values()} == {"success"}
    assert {request.status for request in sandbox.requests} == {200}
    assert max(waits) <= INTERVAL + 2
    assert 0 < longest < 0.05
    assert most <= 3  # a window of 5 s from a request on may hold the first of the next interval
    assert len(starts) <= 2 * (starts[-1] - starts[0]) / INTERVAL + 2
