"""The files of a bulk conversion: none may be overwritten by another."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.hooks.paths import storage_path

if TYPE_CHECKING:
    from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator

_BESIDE_RESULTS = (".journal", ".claim", ".leads.jsonl")
"""What the names of files that a run keeps beside its results go on with."""

_SAME_STORE = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs"}


def check_paths(operator: LeadConversionBulkOperator) -> None:
    """Check that the files of leads, results and failures are different ones, before anything is read or written.

    :param operator: the operator, whose templates are rendered.
    :raises InvalidRequestError: if two are the same file, or one is the name of a file that the run keeps beside its
        results.
    """
    names = ("leads_path", "results_path", "failures_path")
    paths = {name: getattr(operator, name) for name in names if getattr(operator, name)}
    places = {name: _place(name, path) for name, path in paths.items()}
    seen: dict[str, str] = {}
    for name, place in places.items():
        if place in seen:
            raise InvalidRequestError(f"{name} and {seen[place]} are the same file: {paths[name]}")
        seen[place] = name
    results = places.pop("results_path", None)
    for name, place in places.items():
        if results and any(place.startswith(f"{results}{ending}") for ending in _BESIDE_RESULTS):
            raise InvalidRequestError(
                f"{name} is the name of a file that the run keeps beside results_path: {paths[name]}; use another name"
            )


def _place(name: str, path: str) -> str:
    """Return the same text for all spellings of a path. For object stores, the connection is not a part of it."""
    from airflow_provider_leadconv.storage.locations import LOCAL_PROTOCOLS

    location = storage_path(name, path)
    if location.protocol in LOCAL_PROTOCOLS:
        return os.path.realpath(location.path).replace("//", "/")  # POSIX keeps two slashes at the beginning
    return f"{_SAME_STORE.get(location.protocol, location.protocol)}:{location.path.rstrip('/')}"
