"""Convert a batch of leads, wait until the last of them shows as converted, then export all conversions.

Trigger it with the ids of the leads and the folder for the files, which may be a local one or in an object store:
``{"leads": [5012001, 5012002], "folder": "s3://my_conn@bucket/sell"}``. It uses the connection ``leadconv_default``.
"""

from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Param

from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor

with DAG(
    dag_id="leadconv_quickstart",
    schedule=None,
    doc_md=__doc__,
    params={
        "leads": Param(type="array", minItems=1, description="Ids of the leads to convert, one a line."),
        "folder": Param(type="string", description="Where the files go: a folder, or a URL of an object store."),
    },
):
    convert = LeadConversionBulkOperator(
        task_id="convert",
        leads="{{ params.leads | tojson }}",
        results_path="{{ params.folder }}/results/{{ run_id }}.jsonl",
    )
    wait = LeadConversionSensor(
        task_id="wait",
        lead_id="{{ params.leads | last }}",
        poke_interval=10,
        timeout=600,
    )
    export = LeadConversionExportOperator(
        task_id="export",
        path="{{ params.folder }}/conversions.jsonl",
    )
    convert >> wait >> export
