"""Counters of tasks and the triggerer, sent through Airflow's metrics (StatsD or OpenTelemetry, if enabled).

============================ ===========================================================
``leadconv.requests``        requests sent, including retries
``leadconv.throttled``       requests that were throttled
``leadconv.converted``       leads converted by bulk runs
``leadconv.failed``          leads rejected by the API
``leadconv.unknown``         leads whose outcome could not be determined
``leadconv.exported_rows``   conversions written to files or tables
``leadconv.sensor_success``  sensors that succeeded
============================ ===========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.exchange import Counters

NAMES = ("requests", "throttled", "converted", "failed", "unknown", "exported_rows", "sensor_success")


def count(**numbers: int) -> None:
    """Increase counters. Airflow ignores this if metrics are disabled, and logs a failure to send them.

    :param numbers: increments by name, without the prefix ``leadconv.``
    """
    from airflow.providers.common.compat.sdk import Stats

    for name, number in numbers.items():
        if name not in NAMES:
            raise ValueError(f"unknown metric {name!r}")
        if number:
            Stats.incr(f"leadconv.{name}", number)


def request_counters() -> Counters:
    """Return counters for a client that report each of its requests as a metric."""
    from airflow_provider_leadconv.api.exchange import Counters

    return Counters(lambda name: count(**{name: 1}))
