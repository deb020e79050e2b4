"""The last export before Sell ends on 2027-08-31: everything, in two formats, each compared with a second walk.

What the comparison found stands in ``_manifest.json`` under ``verification``. Trigger it with a folder that will be
kept: ``{"folder": "s3://aws_default@bucket/sell"}``.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_leadconv.operators.export import LeadConversionExportOperator

with DAG(
    dag_id="leadconv_export_final",
    schedule=None,
    doc_md=__doc__,
    params={"folder": Param(type="string", description="Where the export goes.")},
) as dag:
    lossless = LeadConversionExportOperator(
        task_id="lossless",
        path="{{ params.folder }}/conversions-jsonl/",
        file_format="jsonl",
        compression="gzip",
        verify_complete=True,
        retries=5,
        retry_delay=timedelta(minutes=5),
    )
    typed = LeadConversionExportOperator(
        task_id="typed",
        path="{{ params.folder }}/conversions-parquet/",
        file_format="parquet",
        verify_complete=True,
        retries=5,
        retry_delay=timedelta(minutes=5),
    )
    lossless >> typed
