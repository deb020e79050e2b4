"""Files of leads at paths that a user passes to an operator or a task."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_leadconv.hooks.paths import path_errors, storage_path

if TYPE_CHECKING:
    from airflow_provider_leadconv.bulk.inputs import Columns, LeadBatch

log = logging.getLogger(__name__)


def read_lead_file(path: str, columns: Columns, **options: Any) -> LeadBatch:
    """Read the leads of a file. If it holds results with a journal beside them, ``has_unknown`` is set.

    :param path: the user's ``leads_path``.
    :param columns: finds the columns of leads.
    :param options: passed to :func:`~airflow_provider_leadconv.bulk.inputs.read_leads`.
    :raises InvalidRequestError: if the file or a row cannot be used.
    """
    from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of_file
    from airflow_provider_leadconv.bulk.outputs.journal import has_journal

    location = storage_path("leads_path", path)
    log.info("Reading leads from %s", path)
    with path_errors("leads_path", path), location.open("rb") as file:  # type: ignore[no-untyped-call]  # of universal_pathlib
        batch = read_leads(rows_of_file(path, file, columns), columns=columns, source=path, **options)
        batch.has_unknown |= batch.is_of_results and has_journal(location)
    return batch
