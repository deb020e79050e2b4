"""Every day, export the conversions of the day before into a file of its own.

The file of a day is the same, byte for byte, whenever it is exported. Each run walks from the newest conversion down to
its day, so do not backfill years with this: export once and partition the result.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_leadconv.operators.export import LeadConversionExportOperator

with DAG(
    dag_id="leadconv_export_daily_interval",
    # Airflow 3 makes empty data intervals for "@daily"; this makes them a day long.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    catchup=False,
    doc_md=__doc__,
    params={"folder": Param("/data/sell", type="string", description="Where the export goes.")},
) as dag:
    LeadConversionExportOperator(
        task_id="export",
        path="{{ params.folder }}/days/{{ data_interval_start | ds }}.parquet",
        created_from="{{ data_interval_start }}",
        created_until="{{ data_interval_end }}",
        retries=3,
        retry_delay=timedelta(minutes=5),
    )
