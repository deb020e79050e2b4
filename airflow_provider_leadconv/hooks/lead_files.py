"""Files of leads at paths that a user passes to an operator or a task."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.paths import path_errors, storage_path

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    from airflow_provider_leadconv.bulk.inputs import Columns, LeadBatch

log = logging.getLogger(__name__)


def read_lead_file(path: str, columns: Columns, **options: Any) -> LeadBatch:
    """Read the leads of a file, which must not change meanwhile.

    If it holds results with a journal beside them, ``has_unknown`` is set.

    :param path: the user's ``leads_path``.
    :param columns: finds the columns of leads.
    :param options: passed to :func:`~airflow_provider_leadconv.bulk.inputs.read_leads`.
    :raises InvalidRequestError: if the file or a row cannot be used.
    """
    from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of_file
    from airflow_provider_leadconv.bulk.outputs.journal import has_journal

    location = storage_path("leads_path", path)
    log.info("Reading leads from %s", path)
    with (
        path_errors("leads_path", path),
        _unchanged(location, path),
        location.open("rb") as file,  # type: ignore[no-untyped-call]  # of universal_pathlib
    ):
        batch = read_leads(rows_of_file(path, file, columns), columns=columns, source=path, **options)
        batch.has_unknown |= batch.is_of_results and has_journal(location)
    return batch


@contextmanager
def _unchanged(location: ObjectStoragePath, path: str) -> Iterator[None]:
    """Check that a local file stays the same in the ``with`` block: a part of an id is another id.

    :raises InvalidRequestError: if it does not, or is no file.
    """
    before = _size_and_time(location, path)
    yield
    if _size_and_time(location, path) != before:
        raise InvalidRequestError(
            f"leads_path {path} was changed while it was read: write it under another name, "
            "and rename it when it is complete"
        )


def _size_and_time(location: ObjectStoragePath, path: str) -> tuple[int, int] | None:
    """Return what changes with a local file. An object in a store is never read in part."""
    from airflow_provider_leadconv.storage.locations import LOCAL_PROTOCOLS

    if location.protocol not in LOCAL_PROTOCOLS:
        return None
    found = Path(location.path).expanduser().stat()
    if not stat.S_ISREG(found.st_mode):  # to open a pipe could take for ever
        raise InvalidRequestError(f"cannot use leads_path {path}: it is not a file, but a folder, a pipe or a device")
    return found.st_size, found.st_mtime_ns
