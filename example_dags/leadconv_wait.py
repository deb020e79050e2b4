"""Wait in the triggerer, without a worker slot, until all of some leads are converted; then show what became of them.

Trigger it with the ids of the leads: ``{"leads": [5012001, 5012002]}``. However many such DAGs and leads there are, the
triggerer reads the conversions once an interval. It uses the connection ``leadconv_default``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor

with DAG(
    dag_id="leadconv_wait",
    schedule=None,
    doc_md=__doc__,
    params={"leads": Param(type="array", minItems=1, description="Ids of the leads, one a line.")},
):
    wait = LeadConversionSensor(
        task_id="wait",
        lead_id="{{ params.leads | tojson }}",
        deferrable=True,
        poke_interval=timedelta(seconds=30),
        timeout=timedelta(days=7),
    )

    @task
    def show(conversions: Any) -> list[int]:
        """Name the deals that were made."""
        return [conversion["deal_id"] for conversion in conversions if conversion["deal_id"]]

    show(wait.output)
