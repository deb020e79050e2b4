"""Runs a sensor to its end, in any mode, as scheduler, worker and triggerer would together."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor
from tests.support.airflow_harness import TaskRun, run_task

MODES = ("poke", "reschedule", "deferrable")
_MODE = {"poke": {"mode": "poke"}, "reschedule": {"mode": "reschedule"}, "deferrable": {"deferrable": True}}


class Wait:
    """Makes a sensor and runs it until its try is over.

    :param mode: one of ``MODES``.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, *, params: dict[str, Any] | None = None, **arguments: Any) -> TaskRun:
        arguments = {"timeout": 60, "poke_interval": 0.05, **_MODE[self.mode], **arguments}
        started = datetime.now(UTC)
        run = run_task(self._task(params, arguments))
        while run.state == "up_for_reschedule":
            run.ledger.rescheduled_since = started
            run = run_task(self._task(params, arguments), ledger=run.ledger, server={"task_reschedule_count": 1})
        if run.state == "deferred":
            run = self._resume(run, self._task(params, arguments))
        return run

    def _resume(self, run: TaskRun, task: LeadConversionSensor) -> TaskRun:
        """Do what the triggerer does: everything crosses the processes as JSON."""
        deferral = run.deferral
        event = asyncio.run(self._event(deferral))
        next_kwargs = {**deferral["next_kwargs"], "event": json.loads(json.dumps(event))}
        return run_task(
            task, ledger=run.ledger, server={"next_method": deferral["next_method"], "next_kwargs": next_kwargs}
        )

    async def _event(self, deferral: dict[str, Any]) -> Any:
        module, _, name = deferral["classpath"].rpartition(".")
        trigger = getattr(import_module(module), name)(**deferral["trigger_kwargs"])
        return (await anext(trigger.run())).payload

    def _task(self, params: dict[str, Any] | None, arguments: dict[str, Any]) -> LeadConversionSensor:
        """A new one for each process."""
        return LeadConversionSensor(task_id="wait", params=params, **arguments)
