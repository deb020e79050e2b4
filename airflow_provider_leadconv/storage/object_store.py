"""A folder in an object store."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

from typing_extensions import override

from airflow_provider_leadconv.storage.base import Folder
from airflow_provider_leadconv.storage.files import spool

log = logging.getLogger(__name__)

PROBE_NAME = ".probe"


class ObjectFolder(Folder):
    """A prefix in an object store, without locks: callers must detect concurrent runs before they publish.

    :param fs: the object store as an ``fsspec`` file system.
    :param path: bucket and prefix.
    :param grace: files younger than this are not discarded, since a concurrent run may be about to refer to them.
    """

    def __init__(self, fs: Any, path: str, *, grace: timedelta = timedelta(days=1)) -> None:
        self._fs = fs
        self._path = path.rstrip("/")
        self._grace = grace

    @override
    def check_writable(self) -> None:
        with self._errors_with_path(PROBE_NAME):
            self._fs.pipe_file(self._at(PROBE_NAME), b"")
        self.remove(PROBE_NAME)

    @override
    @contextmanager
    def locked(self, holder: str = "") -> Iterator[None]:
        yield

    @override
    @contextmanager
    def draft(self, name: str) -> Iterator[IO[bytes]]:
        file = spool(suffix=f"-{name}", named=True)
        try:
            with file:
                yield file
        finally:
            Path(file.name).unlink()

    @override
    def publish(self, draft: IO[bytes], name: str) -> None:
        draft.flush()
        with self._errors_with_path(name):
            self._fs.put_file(draft.name, self._at(name))

    @override
    def open(self, name: str) -> IO[bytes]:
        self._fs.invalidate_cache()  # other processes change the store
        return cast("IO[bytes]", self._fs.open(self._at(name), "rb"))

    @override
    def names(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            entries = self._fs.ls(self._path, detail=True)
        except FileNotFoundError:
            return []
        return [entry["name"].rpartition("/")[2] for entry in entries if entry["type"] == "file"]

    @override
    def remove(self, name: str) -> None:
        try:
            self._fs.rm_file(self._at(name))
        except FileNotFoundError:
            pass
        except PermissionError as error:  # some roles may write but not delete
            log.warning("Could not remove %s, which is not needed any more: %s", self._at(name), error)

    @override
    def discard(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(FileNotFoundError):
                changed: datetime = self._fs.modified(self._at(name))
                if datetime.now(UTC) - (changed if changed.tzinfo else changed.replace(tzinfo=UTC)) >= self._grace:
                    self.remove(name)

    @contextmanager
    def _errors_with_path(self, name: str) -> Iterator[None]:
        """Add the path to errors, since those of object stores rarely name the bucket or the key."""
        try:
            yield
        except OSError as error:
            permanent = (PermissionError, FileNotFoundError)
            kind = next((kind for kind in permanent if isinstance(error, kind)), OSError)
            raise kind(f"cannot write {self._at(name)}: {error}") from error

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"
