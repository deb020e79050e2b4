"""Leads for dynamic task mapping: a file of them cut into files, one for each mapped task."""

from __future__ import annotations

from airflow_provider_leadconv.failing import permanent_errors_fail


def split_leads(leads_path: str, chunks_path: str, *, chunk_size: int | str = 1000) -> list[str]:
    """Cut a file of leads into files for ``LeadConversionBulkOperator.partial(...).expand(leads_path=...)``.

    To be called in a task, or to be one: ``task(split_leads)(leads_path=..., chunks_path=...)`` takes templates. All
    rows are checked first, and a repeated lead is taken once, so no two chunks share a lead. A chunk is never changed
    once it is written: its task finds the same leads at every try.

    :param leads_path: the leads, in any form that ``leads_path`` of the operator takes; results of an earlier run too.
    :param chunks_path: folder for the chunks, wherever ``ObjectStoragePath`` reaches, if all workers do. Put
        ``{{ run_id }}`` into it.
    :param chunk_size: leads in a chunk. It is raised if there would be more chunks than Airflow maps over
        (``[core] max_map_length``).
    :return: the paths of the chunks, in input order; empty if there are no leads, which skips the mapped task.
    :raises AirflowFailException: if a row is wrong, or ``chunks_path`` holds chunks of other leads.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath, conf

    from airflow_provider_leadconv.api.records import as_id
    from airflow_provider_leadconv.jobs.chunks import write_chunks
    from airflow_provider_leadconv.jobs.lead_files import rows_of_file
    from airflow_provider_leadconv.jobs.leads import read_leads
    from airflow_provider_leadconv.jobs.storage import folder_of

    source, target = ObjectStoragePath(leads_path), ObjectStoragePath(chunks_path)
    with permanent_errors_fail():
        with source.open("rb") as file:  # type: ignore[no-untyped-call]  # of universal_pathlib
            leads = read_leads(rows_of_file(source.name, file))
        max_chunks = conf.getint("core", "max_map_length", fallback=1024)
        size = as_id(chunk_size, "chunk_size")
        names = write_chunks(leads, folder_of(target), chunk_size=size, max_chunks=max_chunks)
    return [str(target / name) for name in names]
