"""One triggerer process: Airflow's own trigger runner, without the supervisor and the database behind it."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

if TYPE_CHECKING:
    from airflow.triggers.base import BaseTrigger

_FIRST_LEAD = 1000
Figures = dict[str, float]


class Waits(NamedTuple):
    """What is waited for.

    :param watermark: id of the newest conversion.
    :param interval: seconds between two requests for the same lead.
    """

    base_url: str
    token: str
    watermark: int
    interval: float

    def connect(self) -> None:
        connection = {"conn_type": "leadconv", "host": self.base_url, "password": self.token}
        os.environ["AIRFLOW_CONN_LEADCONV_DEFAULT"] = json.dumps(connection)
        extra = {"Authorization": f"Bearer {self.token}"}
        connection = {"conn_type": "http", "host": self.base_url, "extra": json.dumps(extra)}
        os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps(connection)


def ours(waits: Waits, leads: int) -> Iterator[BaseTrigger]:
    from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger

    for number in range(leads):
        yield LeadConversionTrigger(
            lead_ids=[_FIRST_LEAD + number],
            leadconv_conn_id="leadconv_default",
            start_watermark=waits.watermark,
            poll_interval=waits.interval,
            deadline=time.time() + 3600,
            max_consecutive_failures=10,
        )


def http_sensor(waits: Waits, leads: int) -> Iterator[BaseTrigger]:
    """As the deferrable HttpSensor makes them. They wait for as long as the answer is 404, and cannot look into a list,
    which is what this API answers; so they ask where there is nothing, and get 404.
    """
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    for number in range(leads):
        yield HttpSensorTrigger(endpoint=f"v2/nothing/{_FIRST_LEAD + number}", poke_interval=waits.interval)


TRIGGERS = {"ours": ours, "HttpSensor, deferrable": http_sensor}


def triggerer(name: str, waits: Waits, leads: int) -> Callable[[float], Figures]:
    """Make a triggerer.

    :param name: of `TRIGGERS`.
    :return: runs it and, once all triggers run and had an interval to settle, measures so many seconds.
    """
    os.environ["AIRFLOW__CORE__FERNET_KEY"] = ""
    waits.connect()
    from airflow.executors.workloads import RunTrigger  # type: ignore[attr-defined]  # exported without saying so
    from airflow.jobs.triggerer_job_runner import TriggerRunner, messages
    from airflow.models.trigger import Trigger

    class Comms:
        """The supervisor's end of the pipe: it wants nothing."""

        def __init__(self) -> None:
            self._reader_task = asyncio.ensure_future(asyncio.Event().wait())

        async def asend(self, message: Any) -> Any:
            is_sync = isinstance(message, messages.TriggerStateChanges)
            return messages.TriggerStateSync(to_create=[], to_cancel=set()) if is_sync else None

    class Runner(TriggerRunner):
        async def init_comms(self) -> None:
            self.comms_decoder = Comms()  # type: ignore[assignment]  # all that the runner calls

    def workload(number: int, trigger: BaseTrigger) -> RunTrigger:
        classpath, arguments = trigger.serialize()
        return RunTrigger(id=number, ti=None, classpath=classpath, encrypted_kwargs=Trigger.encrypt_kwargs(arguments))

    async def run(seconds: float) -> Figures:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        runner = Runner()
        runner.to_create.extend(
            workload(number, trigger) for number, trigger in enumerate(TRIGGERS[name](waits, leads))
        )
        running = asyncio.ensure_future(runner.arun())
        while runner.to_create:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.5 * waits.interval)
        began, cpu_s = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        ended, cpu_s = time.monotonic(), time.process_time() - cpu_s
        figures = {"began": began, "ended": ended, "cpu_s": cpu_s, "memory_mb": _memory_mb()}
        figures["ended_early"] = leads - len(runner.triggers)
        runner.stop = True
        await running
        return figures

    return lambda seconds: asyncio.run(run(seconds))


def sensor_process(waits: Waits) -> Callable[[float], Figures]:
    """Make an HttpSensor in poke mode, which holds a process as long as it waits.

    :return: pokes for so many seconds.
    """
    waits.connect()
    from airflow.providers.http.sensors.http import HttpSensor

    sensor = HttpSensor(task_id="wait", endpoint=f"v2/nothing/{_FIRST_LEAD}", poke_interval=waits.interval)

    def run(seconds: float) -> Figures:
        sensor.poke({})
        began, cpu_s = time.monotonic(), time.process_time()
        while time.monotonic() < began + seconds:
            time.sleep(waits.interval)
            sensor.poke({})
        ended, cpu_s = time.monotonic(), time.process_time() - cpu_s
        return {"began": began, "ended": ended, "cpu_s": cpu_s, "memory_mb": _memory_mb(), "ended_early": 0}

    return run


def _memory_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6
