"""Convert a large file of leads in chunks, each a task of its own, which any worker may run and which is retried alone.

Trigger it with a file of leads (CSV, JSONL or Parquet) and a folder, both where all workers reach them, such as in an
object store: ``{"leads_path": "s3://my_conn@bucket/leads.csv", "folder": "s3://my_conn@bucket/sell"}``. It uses the
connection ``leadconv_default``.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_leadconv.leads import split_leads
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator

with DAG(
    dag_id="leadconv_bulk_mapped",
    schedule=None,
    max_active_runs=1,
    doc_md=__doc__,
    params={
        "leads_path": Param(type="string", description="File of the leads."),
        "folder": Param(type="string", description="Where the chunks and the results go."),
        "chunk_size": Param(1000, type="integer", minimum=1, description="Leads in a chunk."),
    },
):
    split = task(task_id="split", retries=2)(split_leads)(
        leads_path="{{ params.leads_path }}",
        chunks_path="{{ params.folder }}/chunks/{{ run_id }}",
        chunk_size="{{ params.chunk_size }}",
    )
    convert = LeadConversionBulkOperator.partial(
        task_id="convert",
        results_path="{{ params.folder }}/results/{{ run_id }}/{{ ti.map_index }}.jsonl",
        retries=3,
        max_active_tis_per_dag=4,  # they share the 10 requests a second of the token
    ).expand(leads_path=split)

    @task
    def total(summaries: Any) -> dict[str, int]:
        """Add up what the chunks returned."""
        parts = list(summaries)
        names = ("leads", "converted", "existing", "failed", "unknown", "duplicates", "api_calls")
        return {"chunks": len(parts), **{name: sum(part[name] for part in parts) for name in names}}

    total(convert.output)
