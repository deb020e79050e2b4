"""Interface of a folder whose files are published atomically, so that a reader never sees a partial file.

A file is first a *draft* on a local disk. A local folder publishes it by rename. An object store publishes it by
upload, and shows an object only when its upload is complete. Streaming into the object would publish the partial file
of a failed run, since closing an ``fsspec`` file completes it even after an error.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import IO, Protocol

DRAFT_SUFFIX = ".tmp"


class ConcurrentRunError(RuntimeError):
    """Another run writes to the same place: let it finish, or prevent concurrent runs (``max_active_runs=1``)."""


class Folder(Protocol):
    """A folder of files that are published atomically. All names are names of files in it."""

    def check_writable(self) -> None:
        """Check that files can be written, before the work starts.

        :raises OSError: if not; the message names the path.
        """
        ...

    def locked(self, holder: str = "") -> AbstractContextManager[None]:
        """Lock the folder against other runs, if the store has locks.

        :param holder: names this run in the error of another run that fails to lock the folder.
        :return: a context manager that holds the lock.
        :raises ConcurrentRunError: if another run holds the lock; the message names the folder and that run.
        """
        ...

    def draft(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """Open a draft for writing. It is removed at the end unless it was published.

        :param name: name of the draft.
        :return: a context manager with the open file.
        :raises ConcurrentRunError: if another run writes this draft, and the store has locks.
        """
        ...

    def publish(self, draft: IO[bytes], name: str) -> None:
        """Publish a draft under a name, replacing an existing file."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open a file for reading.

        :raises FileNotFoundError: if it does not exist.
        """
        ...

    def names(self) -> list[str]:
        """Return the names of all files."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        ...

    def discard(self, names: Iterable[str]) -> None:
        """Remove files that no manifest refers to, except those that a concurrent run may be about to refer to."""
        ...
