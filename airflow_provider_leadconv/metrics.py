"""Counters of what tasks and the triggerer did, through Airflow's metrics (StatsD or OpenTelemetry, if on).

============================ ===========================================================
``leadconv.requests``        requests sent, repetitions included
``leadconv.throttled``       of these, refused for too many requests
``leadconv.converted``       leads converted by a bulk
``leadconv.failed``          leads the API refused
``leadconv.unknown``         leads of which it could not be found out
``leadconv.exported_rows``   conversions written to files or tables
``leadconv.waits``           sensors that saw all their leads converted
============================ ===========================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.exchange import Counters

NAMES = ("requests", "throttled", "converted", "failed", "unknown", "exported_rows", "waits")


def count(**numbers: int) -> None:
    """Add to counters. Airflow drops it if metrics are off, and logs it if they cannot be sent.

    :param numbers: by name, without ``leadconv.``
    """
    from airflow.providers.common.compat.sdk import Stats

    for name, number in numbers.items():
        if name not in NAMES:
            raise ValueError(f"{name} is no metric of ours")
        if number:
            Stats.incr(f"leadconv.{name}", number)


def request_counters() -> Counters:
    """:return: counters for a client, which tell each of its requests."""
    from airflow_provider_leadconv.api.exchange import Counters

    return Counters(lambda name: count(**{name: 1}))
