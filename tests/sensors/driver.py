"""Runs a sensor to its end, in any mode, as scheduler, worker and triggerer would together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor
from tests.airflow_harness import TaskRun, run_task

MODES = ("poke", "reschedule")


class Wait:
    """Makes a sensor and runs it until its try is over.

    :param mode: one of ``MODES``.
    """

    def __init__(self, mode: str) -> None:
        self.mode = mode

    def __call__(self, *, params: dict[str, Any] | None = None, **arguments: Any) -> TaskRun:
        arguments = {"timeout": 60, "poke_interval": 0.05, "mode": self.mode, **arguments}
        started = datetime.now(UTC)
        run = run_task(self._task(params, arguments))
        while run.state == "up_for_reschedule":
            run.ledger.rescheduled_since = started
            run = run_task(self._task(params, arguments), ledger=run.ledger, server={"task_reschedule_count": 1})
        return run

    def _task(self, params: dict[str, Any] | None, arguments: dict[str, Any]) -> LeadConversionSensor:
        """A new one for each process."""
        return LeadConversionSensor(task_id="wait", params=params, **arguments)
