"""A folder on a local file system."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from typing_extensions import override

from airflow_provider_leadconv.storage.base import DRAFT_SUFFIX, ConcurrentRunError, Folder
from airflow_provider_leadconv.storage.files import (
    allow_other_readers,
    open_private,
    open_unlinked,
    sync,
    sync_folder,
)

LOCK_NAME = ".lock"
_MAX_HOLDER = 1000


class LocalFolder(Folder):
    """A folder on a local file system. Concurrent runs are excluded by locks that end with their process.

    :param path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    def check_writable(self) -> None:
        # Missing permissions show when the lock or the first draft is opened.
        self._path.mkdir(parents=True, exist_ok=True)

    @override
    @contextmanager
    def locked(self, holder: str = "") -> Iterator[None]:
        with self._locked_file(LOCK_NAME) as file:
            process = f"process {os.getpid()} on {socket.gethostname()}"
            file.truncate(0)
            file.write((f"{holder}, {process}" if holder else process).encode())
            file.flush()
            yield

    @override
    @contextmanager
    def draft(self, name: str) -> Iterator[IO[bytes]]:
        # The draft is its own lock. The next run takes over the draft of a killed one.
        path = self._path / f".{name}{DRAFT_SUFFIX}"
        with self._locked_file(path.name) as file:
            file.truncate(0)
            try:
                yield file
            finally:
                if _is_same(file, path):  # not published
                    path.unlink()

    @override
    def publish(self, draft: IO[bytes], name: str) -> None:
        allow_other_readers(draft)
        sync(draft)
        Path(draft.name).replace(self._path / name)
        sync_folder(self._path)

    @override
    def open(self, name: str) -> IO[bytes]:
        return open_unlinked(self._path / name)

    @override
    def names(self) -> list[str]:
        return [path.name for path in self._path.iterdir() if path.is_file()] if self._path.exists() else []

    @override
    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)

    @override
    def discard(self, names: Iterable[str]) -> None:
        # Called while the folder is locked, so there is no concurrent run.
        for name in names:
            self.remove(name)

    @contextmanager
    def _locked_file(self, name: str) -> Iterator[IO[bytes]]:
        self._path.mkdir(parents=True, exist_ok=True)
        with open_private(self._path / name) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                acquired = False
            else:  # the previous holder may have published the file after it was opened here
                acquired = _is_same(file, self._path / name)
            if not acquired:
                holder = _text(file) if name == LOCK_NAME else ""
                raise ConcurrentRunError(f"another run is writing to {self._path}{f' ({holder})' if holder else ''}")
            yield file


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(_MAX_HOLDER).decode(errors="replace")


def _is_same(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
