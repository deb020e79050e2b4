"""A folder of an object store. See :mod:`~.storage` for what a folder is."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import IO, Any, cast

log = logging.getLogger(__name__)

PROBE_NAME = ".probe"


class ObjectFolder:
    """A prefix in an object store. There are no locks: who publishes last must look who was faster.

    :param fs: the store, as an ``fsspec`` file system.
    :param path: bucket and prefix.
    :param grace: files younger than this are not discarded, since another run may be about to refer to them.
    """

    def __init__(self, fs: Any, path: str, *, grace: timedelta = timedelta(days=1)) -> None:
        self._fs = fs
        self._path = path.rstrip("/")
        self._grace = grace

    def check_writable(self) -> None:
        """See :meth:`Folder.check_writable`."""
        with self._naming(PROBE_NAME):
            self._fs.pipe_file(self._at(PROBE_NAME), b"")
        self.remove(PROBE_NAME)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """See :meth:`Folder.locked`."""
        yield

    @contextmanager
    def draft(self, name: str) -> Iterator[IO[bytes]]:
        """See :meth:`Folder.draft`. It is in the directory for temporary files, which needs room for it."""
        with tempfile.NamedTemporaryFile(prefix="leadconv-", suffix=f"-{name}") as file:
            yield cast("IO[bytes]", file)

    def publish(self, draft: IO[bytes], name: str) -> None:
        """See :meth:`Folder.publish`."""
        draft.flush()
        with self._naming(name):
            self._fs.put_file(draft.name, self._at(name))

    def open(self, name: str) -> IO[bytes]:
        """See :meth:`Folder.open`."""
        self._fs.invalidate_cache()  # of what the store was like a while ago
        return cast("IO[bytes]", self._fs.open(self._at(name), "rb"))

    def names(self) -> list[str]:
        """See :meth:`Folder.names`."""
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(self._path, detail=True)
        except FileNotFoundError:
            return []
        return [entry["name"].rpartition("/")[2] for entry in found if entry["type"] == "file"]

    def remove(self, name: str) -> None:
        """See :meth:`Folder.remove`. Where one may write and not remove, it stays, and the log says so."""
        try:
            self._fs.rm_file(self._at(name))
        except FileNotFoundError:
            pass
        except PermissionError as error:
            log.warning("%s is not needed any more and may not be removed: %s", self._at(name), error)

    def discard(self, names: Iterable[str]) -> None:
        """See :meth:`Folder.discard`."""
        for name in names:
            with suppress(FileNotFoundError):
                changed: datetime = self._fs.modified(self._at(name))
                if datetime.now(UTC) - (changed if changed.tzinfo else changed.replace(tzinfo=UTC)) >= self._grace:
                    self.remove(name)

    @contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Errors of stores rarely say where, such as in which bucket that does not exist."""
        try:
            yield
        except OSError as error:
            raise OSError(f"cannot write {self._at(name)}: {error}") from error

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"
