"""The folder at an ``ObjectStoragePath``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from airflow_provider_leadconv.storage.local import LocalFolder
from airflow_provider_leadconv.storage.object_store import ObjectFolder

LOCAL_PROTOCOLS = {"", "file", "local"}


class Location(Protocol):
    """The attributes used of a ``universal_pathlib`` path, such as Airflow's ``ObjectStoragePath``."""

    @property
    def protocol(self) -> str:
        """Scheme of the URL; may be empty for a local path."""
        ...

    @property
    def path(self) -> str:
        """Path within the file system: bucket and key in an object store."""
        ...

    @property
    def fs(self) -> Any:
        """The ``fsspec`` file system."""
        ...


def folder_of(location: Location) -> LocalFolder | ObjectFolder:
    """Return the folder at a path. A local folder is created on the first write."""
    if location.protocol in LOCAL_PROTOCOLS:
        return LocalFolder(Path(location.path))
    return ObjectFolder(location.fs, location.path)
