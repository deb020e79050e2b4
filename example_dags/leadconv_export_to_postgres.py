"""Every hour, add the conversions that are new to a table in PostgreSQL, which is created if it is missing.

It uses the connections ``leadconv_default`` and ``postgres_default``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_leadconv.transfers.leadconv_to_sql import LeadConversionToSqlOperator

with DAG(
    dag_id="leadconv_export_to_postgres",
    schedule="@hourly",
    start_date=datetime(2026, 11, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
) as dag:
    LeadConversionToSqlOperator(
        task_id="export",
        sql_conn_id="postgres_default",
        table="lead_conversions",
        incremental=True,
        retries=3,
        retry_delay=timedelta(minutes=5),
    )
