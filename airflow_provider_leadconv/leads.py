"""Splitting a file of leads into chunks for dynamic task mapping."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_leadconv.hooks.lead_files import read_lead_file
from airflow_provider_leadconv.hooks.paths import path_errors, storage_path
from airflow_provider_leadconv.hooks.permanent_errors import fail_without_retry


def split_leads(
    leads_path: str,
    chunks_path: str,
    *,
    chunk_size: int | str = 1000,
    lead_id_column: str | None = None,
    ignore_columns: Iterable[str] | None = None,
) -> list[str]:
    """Split a file of leads into chunks for ``LeadConversionBulkOperator.partial(...).expand(leads_path=...)``.

    Call it in a task, or make it a task: ``task(split_leads)(leads_path=..., chunks_path=...)`` takes templates. All
    rows are validated first, and duplicates are dropped, so no two chunks share a lead. A chunk is never changed after
    it is written, so its task gets the same leads on every try.

    :param leads_path: file of leads in any form that ``leads_path`` of the operator supports, including results of an
        earlier run.
    :param chunks_path: folder for the chunks, an ``ObjectStoragePath`` that all workers can reach. It should contain
        ``{{ run_id }}``.
    :param chunk_size: leads per chunk. It is raised if there would be more chunks than Airflow's limit for mapped tasks
        (``[core] max_map_length``).
    :param lead_id_column: name of the column of the lead ids; default: ``lead_id``, in any case and also with spaces.
    :param ignore_columns: names of columns that are ignored although they resemble ``owner_id`` or ``create_deal``.
    :return: paths of the chunks, in input order; empty if there are no leads, which skips the mapped task.
    :raises AirflowFailException: if a row is invalid, or ``chunks_path`` has chunks of other leads.
    """
    from airflow.providers.common.compat.sdk import conf

    from airflow_provider_leadconv.api.models import as_id
    from airflow_provider_leadconv.bulk.inputs import Columns
    from airflow_provider_leadconv.bulk.split import write_chunks
    from airflow_provider_leadconv.storage.locations import folder_of

    with fail_without_retry():
        target = storage_path("chunks_path", chunks_path)
        leads = read_lead_file(leads_path, Columns(lead_id_column, ignore_columns))
        max_chunks = conf.getint("core", "max_map_length", fallback=1024)
        size = as_id(chunk_size, "chunk_size")
        with path_errors("chunks_path", chunks_path):
            names = write_chunks(
                leads, folder_of(target), chunk_size=size, max_chunks=max_chunks, has_unknown=leads.has_unknown
            )
    return [str(target / name) for name in names]
