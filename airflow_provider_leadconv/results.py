"""Reading the results of a bulk conversion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from airflow_provider_leadconv.hooks.paths import path_errors, storage_path

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.models import ConversionResult


def read_results(path: str) -> Iterator[ConversionResult]:
    """Read a file of results that ``LeadConversionBulkOperator`` has written, lazily and in its order.

    A lead that a dry run would convert is ``not_attempted`` without an error. The errors are of the base class
    ``LeadConversionError``, with ``message``, ``status_code``, ``code`` and ``field_errors``.

    :param path: the ``results_path`` of a run, in any format, local or in an object store.
    :return: an iterator over the results. It opens the file at the first one, and closes it after the last one or when
        it is closed.
    :raises InvalidRequestError: naming the file and the line, if it does not exist or is no file of results.
    :raises ImportError: if the format needs a library that is not installed.
    """
    from airflow_provider_leadconv.bulk.outputs.result_files import read_records

    location = storage_path("path", path)
    with path_errors("path", path), location.open("rb") as file:  # type: ignore[no-untyped-call]  # of universal_pathlib
        for record in read_records(path, file, f"{path} is no file of results"):
            yield record.to_result()
