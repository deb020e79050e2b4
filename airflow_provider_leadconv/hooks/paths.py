"""Paths that a user passes to an operator: whatever is wrong with one is an invalid parameter, named in the message."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_provider_leadconv.api.exceptions import InvalidRequestError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

_PACKAGES = {
    **dict.fromkeys(("s3", "s3a", "s3n"), "amazon[s3fs]"),
    **dict.fromkeys(("gs", "gcs"), "google"),
    **dict.fromkeys(("abfs", "abfss", "adl"), "microsoft-azure"),
}
"""Scheme of a URL -> the end of the name of the Airflow provider that brings its file system."""

_INSTEAD = {"wasb": "abfs", "wasbs": "abfss"}
"""Schemes that no provider has a file system for -> the scheme of the same store."""

_NO_FILE_SYSTEM = ("No filesystem registered", "Unsupported filesystem")
"""How Airflow's and fsspec's errors begin if there is none for a scheme; others are about the path."""

_PERMANENT = (FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
_PERMANENT_ERRNOS = {errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP}


def storage_path(parameter: str, path: str) -> ObjectStoragePath:
    """Return the path with its file system.

    :param parameter: name of the operator's parameter.
    :param path: what the user passed.
    :raises InvalidRequestError: if there is no file system for its scheme, or it cannot be used; the message names the
        package that is missing.
    """
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        location = ObjectStoragePath(path)
        location.fs  # noqa: B018  # a property that finds the file system
    except (ValueError, ImportError) as error:
        if isinstance(error, ImportError) or str(error).startswith(_NO_FILE_SYSTEM):
            reason = _missing(path.partition("://")[0], error)
            raise InvalidRequestError(f"{parameter} {path}: {reason}", remedy="") from error
        raise InvalidRequestError(f"{parameter} {path}: {error}") from error
    return location


def _missing(scheme: str, error: Exception) -> str:
    """Return what to install for a scheme whose file system is missing."""
    if scheme in _INSTEAD:
        instead = _INSTEAD[scheme]
        package = _PACKAGES[instead]
        return f"use {instead}:// instead of {scheme}://, and the package apache-airflow-providers-{package}"
    if scheme in _PACKAGES:
        library = f": {error}" if isinstance(error, ImportError) else ""
        return f"{scheme}:// needs the package apache-airflow-providers-{_PACKAGES[scheme]}{library}"
    return f"no Airflow provider that is installed has a file system for {scheme}://"


@contextmanager
def path_errors(parameter: str, path: str) -> Iterator[None]:
    """Report a path that does not exist or must not be used as an invalid parameter.

    Other errors, such as a full disk, are left to the task's retries.

    :raises InvalidRequestError: if the file system says so in the ``with`` block.
    """
    try:
        yield
    except OSError as error:
        if not isinstance(error, _PERMANENT) and error.errno not in _PERMANENT_ERRNOS:
            raise
        raise InvalidRequestError(f"cannot use {parameter} {path}: {error}") from error
