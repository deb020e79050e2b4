"""A record of a job's results that a killed worker leaves readable.

Beside a local file it is one file, appended to and flushed line by line. An object store knows no appending, so there
it is a series of objects, one for each thousand lines or half a minute.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec
from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import JSON_ERRORS, InvalidRequestError
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.files import open_private, sync, sync_folder
from airflow_provider_leadconv.storage.locations import LOCAL_PROTOCOLS, Location
from airflow_provider_leadconv.storage.object_store import ObjectFolder

LINES_PER_OBJECT = 1000
SECONDS_PER_OBJECT = 30.0


class Journal(Protocol):
    """Lines of JSON that outlive the process."""

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        ...

    def lines(self) -> Iterator[bytes]:
        """Return what an earlier process has left, without what is torn at the end.

        :raises InvalidRequestError: if intact lines follow a damaged one.
        """
        ...

    def append(self, line: bytes) -> None:
        """Add a line, which ends in a newline."""
        ...

    def flush(self) -> None:
        """Make every line outlive the machine now."""
        ...

    def remove(self) -> None:
        """Remove it; its lines are elsewhere."""
        ...

    def kept_name(self) -> str | None:
        """Return the name of the file that has the lines, or the pattern of several, or ``None`` if there are none."""
        ...

    def close(self) -> None:
        """Make every line outlive the process, and leave the journal to the next one. Harmless twice."""
        ...

    def abandon(self) -> None:
        """Close without writing anything, as another process has taken over."""
        ...


def journal_of(location: Location) -> Journal:
    """Return the journal beside a results file."""
    if location.protocol in LOCAL_PROTOCOLS:
        return LocalJournal(Path(f"{location.path}.journal"))
    parent, _, name = location.path.rpartition("/")
    return ObjectJournal(ObjectFolder(location.fs, parent), f"{name}.journal")


def has_journal(location: Location) -> bool:
    """Return whether there is a journal beside a results file: its run was killed, or goes on.

    Then requests may be on their way of which the file knows nothing. Also true if the folder may not be listed.
    """
    if location.protocol in LOCAL_PROTOCOLS:
        return Path(f"{location.path}.journal").exists()
    parent, _, name = location.path.rpartition("/")
    try:
        return any(part.startswith(f"{name}.journal-") for part in ObjectFolder(location.fs, parent).names())
    except PermissionError:
        return True


class LocalJournal(Journal):
    """One file. Its lock dies with the process that holds it.

    :param path: the file.
    :raises ConcurrentRunError: if another process writes it.
    :raises InvalidRequestError: if nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open_private(path)
        except OSError as error:
            raise InvalidRequestError(f"results_path cannot be written: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ConcurrentRunError(f"another run is writing to {path}; let it finish") from error

    @property
    @override
    def name(self) -> str:
        return str(self._path)

    @override
    def lines(self) -> Iterator[bytes]:
        # A kill leaves part of a line. A power cut may leave zeros, or blocks that held something else before.
        read = whole = 0
        torn: int | None = None
        with self._path.open("rb") as file:  # opened now, as NFS shows what another host wrote before that
            for number, line in enumerate(file, 1):
                read += len(line)
                if line.isspace():
                    continue
                if not _is_intact(line):
                    torn = torn or number
                    continue
                if torn:
                    raise InvalidRequestError(
                        f"{self._path} is damaged in line {torn}, and line {number} is intact, so more than its end "
                        "was lost. Restore it, or remove it; leads that its run has converted are then reported as "
                        "existing"
                    )
                whole = read
                yield line
        self._file.truncate(whole)

    @override
    def append(self, line: bytes) -> None:
        self._file.write(line)
        self._file.flush()

    @override
    def flush(self) -> None:
        sync(self._file)
        sync_folder(self._path.parent)

    @override
    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
        self._file.close()

    @override
    def kept_name(self) -> str | None:
        return self._path.name if self._path.exists() else None

    @override
    def close(self) -> None:
        """An empty one is no use to anybody."""
        if self._file.closed:
            return
        if os.fstat(self._file.fileno()).st_size == 0:
            self._path.unlink(missing_ok=True)
        self._file.close()

    @override
    def abandon(self) -> None:
        self._file.close()


def _is_intact(line: bytes) -> bool:
    with suppress(*JSON_ERRORS):
        msgspec.json.decode(line)
        return line.endswith(b"\n")
    return False


class ObjectJournal(Journal):
    """A series of objects whose names begin alike.

    :param folder: where.
    :param name: what the objects' names begin with.
    :param clock: seconds on a clock that never runs backwards.
    """

    def __init__(self, folder: ObjectFolder, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._name = name
        self._clock = clock
        self._parts = self._list_parts()
        self._lines: list[bytes] = []
        self._flushed_at = clock()

    @property
    @override
    def name(self) -> str:
        return self._name

    @override
    def lines(self) -> Iterator[bytes]:
        self._parts = self._list_parts()
        for part in self._parts:
            with self._folder.open(part) as file:
                yield from file

    @override
    def append(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) >= LINES_PER_OBJECT or self._clock() - self._flushed_at >= SECONDS_PER_OBJECT:
            self.flush()

    @override
    def flush(self) -> None:
        self._flushed_at = self._clock()
        if self._lines:
            part = f"{self._name}-{len(self._parts):06d}.jsonl"
            with self._folder.draft(part) as draft:
                draft.writelines(self._lines)
                self._folder.publish(draft, part)
            self._parts.append(part)
            self._lines = []

    @override
    def remove(self) -> None:
        for part in self._list_parts():
            self._folder.remove(part)
        self._parts = []

    @override
    def kept_name(self) -> str | None:
        return f"{self._name}-*.jsonl" if self._parts else None

    @override
    def close(self) -> None:
        self.flush()

    @override
    def abandon(self) -> None:
        self._lines = []

    def _list_parts(self) -> list[str]:
        return [part for part in sorted(self._folder.names()) if part.startswith(f"{self._name}-")]
