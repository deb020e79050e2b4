"""Say what a batch would convert, wait until somebody approves, then convert it: conversions cannot be undone.

Trigger it with a file of leads (CSV, JSONL or Parquet) and the folder for the results, which may both be local or in an
object store: ``{"leads_path": "s3://my_conn@bucket/leads.csv", "folder": "s3://my_conn@bucket/sell"}``. The request for
approval is under *Required actions*. It uses the connection ``leadconv_default`` and needs
``apache-airflow-providers-standard`` and Airflow 3.1: the DAG processor of 3.0 stops at this file.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator

with DAG(
    dag_id="leadconv_bulk_approval",
    schedule=None,
    doc_md=__doc__,
    params={
        "leads_path": Param(type="string", description="File of the leads."),
        "folder": Param(type="string", description="Where the results go."),
    },
):
    dry_run = LeadConversionBulkOperator(
        task_id="dry_run",
        leads_path="{{ params.leads_path }}",
        results_path="{{ params.folder }}/dry_run/{{ run_id }}.jsonl",
        dry_run=True,
    )
    approve = ApprovalOperator(
        task_id="approve",
        subject="Convert {{ ti.xcom_pull(task_ids='dry_run')['would_convert'] }} leads?",
        body=(
            "{% set told = ti.xcom_pull(task_ids='dry_run') %}"
            "Of {{ told['leads'] }} leads in `{{ params.leads_path }}`, {{ told['existing'] }} are converted already. "
            "Which ones: `{{ told['results_path'] }}`. A conversion cannot be undone."
        ),
        response_timeout=timedelta(days=3),
    )
    convert = LeadConversionBulkOperator(
        task_id="convert",
        # What was approved, even if the file has changed since: only the leads that would be converted are taken.
        leads_path="{{ ti.xcom_pull(task_ids='dry_run')['results_path'] }}",
        results_path="{{ params.folder }}/results/{{ run_id }}.jsonl",
        retries=3,
        retry_delay=timedelta(minutes=5),
    )
    dry_run >> approve >> convert
