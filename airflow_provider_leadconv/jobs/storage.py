"""Where an export goes: a folder of a disk or of an object store, in which a file appears whole or not at all.

Every file is first a *draft* on a local disk. A local folder gets it by rename. An object store gets it by upload, and
shows an object only when its upload is complete. Streaming into the object instead would publish what a failed run has
written so far, since closing a file of ``fsspec`` completes it, errors or not.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from airflow_provider_leadconv.jobs.object_folder import ObjectFolder

LOCK_NAME = ".lock"
DRAFT_SUFFIX = ".tmp"
LOCAL_PROTOCOLS = {"", "file", "local"}


class ExportConflictError(RuntimeError):
    """Another run writes to the same place: let it finish, or keep runs apart (``max_active_runs=1``)."""


class Location(Protocol):
    """What is used of a path of ``universal_pathlib``, which Airflow's ``ObjectStoragePath`` is."""

    @property
    def protocol(self) -> str:
        """Scheme of the URL; empty for a local path."""
        ...

    @property
    def path(self) -> str:
        """The path within the file system: bucket and key."""
        ...

    @property
    def fs(self) -> Any:
        """The file system of ``fsspec``."""
        ...


class Folder(Protocol):
    """A folder an export writes to. Names are names of files in it."""

    def check_writable(self) -> None:
        """Fail now, rather than when there is something to publish.

        :raises OSError: naming what cannot be written.
        """
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Keep other runs out, where the store has locks.

        :raises ExportConflictError: if one is in.
        """
        ...

    def draft(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """A file to write, thrown away in the end unless it was published.

        :param name: tells it from other drafts.
        :raises ExportConflictError: if another run writes it, where the store has locks.
        """
        ...

    def publish(self, draft: IO[bytes], name: str) -> None:
        """Make a draft appear, in place of the file of this name if there is one."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading.

        :raises FileNotFoundError: if there is none.
        """
        ...

    def names(self) -> list[str]:
        """:return: the names of all files."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        ...

    def discard(self, names: Iterable[str]) -> None:
        """Remove files that nothing refers to, unless a run that is still going on may be about to."""
        ...


def folder_of(location: Location) -> LocalFolder | ObjectFolder:
    """:return: the folder at a path. A local one is created when it is first written to."""
    if location.protocol in LOCAL_PROTOCOLS:
        return LocalFolder(Path(location.path))
    return ObjectFolder(location.fs, location.path)


class LocalFolder:
    """A folder of a file system of this machine. Runs exclude each other by locks that die with their process.

    :param path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def check_writable(self) -> None:
        """See :meth:`Folder.check_writable`. The rest shows when the lock or the first draft is opened."""
        self._path.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See :meth:`Folder.locked`."""
        with self._held(LOCK_NAME):
            yield

    @contextmanager
    def draft(self, name: str) -> Iterator[IO[bytes]]:
        """See :meth:`Folder.draft`. The draft is its own lock; that of a killed run is taken over by the next."""
        path = self._path / f".{name}{DRAFT_SUFFIX}"
        with self._held(path.name) as file:
            file.truncate(0)
            try:
                yield file
            finally:
                if _is_same(file, path):  # not published
                    path.unlink()

    def publish(self, draft: IO[bytes], name: str) -> None:
        """See :meth:`Folder.publish`. What is published survives a power cut."""
        draft.flush()
        os.fsync(draft.fileno())
        Path(draft.name).replace(self._path / name)
        folder = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def open(self, name: str) -> IO[bytes]:
        """See :meth:`Folder.open`."""
        return (self._path / name).open("rb")

    def names(self) -> list[str]:
        """See :meth:`Folder.names`."""
        return [path.name for path in self._path.iterdir() if path.is_file()] if self._path.exists() else []

    def remove(self, name: str) -> None:
        """See :meth:`Folder.remove`."""
        (self._path / name).unlink(missing_ok=True)

    def discard(self, names: Iterable[str]) -> None:
        """See :meth:`Folder.discard`. To be called under the lock, so there is no such run."""
        for name in names:
            self.remove(name)

    @contextmanager
    def _held(self, name: str) -> Iterator[IO[bytes]]:
        self._path.mkdir(parents=True, exist_ok=True)
        with (self._path / name).open("a+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                ours = False
            else:  # its last holder may have published it after we opened it
                ours = _is_same(file, self._path / name)
            if not ours:
                raise ExportConflictError(f"another run is writing to {self._path}; let it finish")
            yield file


def _is_same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
