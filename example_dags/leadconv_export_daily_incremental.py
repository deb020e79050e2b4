"""Every day, add the conversions that are new to a folder in an object store.

The first run exports all. Readers follow ``_manifest.json`` in the folder. It uses the connections ``leadconv_default``
and the one that the folder names, such as ``s3://aws_default@bucket/sell``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_leadconv.operators.export import LeadConversionExportOperator

with DAG(
    dag_id="leadconv_export_daily_incremental",
    schedule="@daily",
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # a second run at the same time would find the folder locked, or published meanwhile
    doc_md=__doc__,
    params={"folder": Param("/data/sell", type="string", description="Where the export goes.")},
) as dag:
    LeadConversionExportOperator(
        task_id="export",
        path="{{ params.folder }}/conversions/",
        file_format="jsonl",
        compression="gzip",
        incremental=True,
        retries=3,
        retry_delay=timedelta(minutes=5),
    )
