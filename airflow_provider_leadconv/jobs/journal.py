"""A record of a job's results that a killed worker leaves readable.

Beside a local file it is one file, appended to and flushed line by line. An object store knows no appending, so there
it is a series of objects, one for each thousand lines or half a minute.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.jobs.object_folder import ObjectFolder
from airflow_provider_leadconv.jobs.storage import LOCAL_PROTOCOLS, ExportConflictError, Location

LINES_PER_OBJECT = 1000
SECONDS_PER_OBJECT = 30.0


class Journal(Protocol):
    """Lines that outlive the process."""

    def lines(self) -> Iterator[bytes]:
        """:return: what an earlier process has left, without a line that was cut off in the middle."""
        ...

    def append(self, line: bytes) -> None:
        """Add a line, which ends in a newline."""
        ...

    def flush(self) -> None:
        """Make every line outlive the process now."""
        ...

    def remove(self) -> None:
        """Remove it; its lines are elsewhere."""
        ...

    def close(self) -> None:
        """Make every line outlive the process, and leave the journal to the next one. Harmless twice."""
        ...


def journal_of(location: Location) -> Journal:
    """:return: the journal beside a results file."""
    if location.protocol in LOCAL_PROTOCOLS:
        return LocalJournal(Path(f"{location.path}.journal"))
    parent, _, name = location.path.rpartition("/")
    return ObjectJournal(ObjectFolder(location.fs, parent), f"{name}.journal")


class LocalJournal:
    """One file. Its lock dies with the process that holds it.

    :param path: the file.
    :raises ExportConflictError: if another process writes it.
    :raises InvalidRequestError: if nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise InvalidRequestError(f"results_path cannot be written: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise ExportConflictError(f"another run is writing to {path}; let it finish") from error

    def lines(self) -> Iterator[bytes]:
        """See :meth:`Journal.lines`."""
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            yield line
        self._file.truncate(whole)

    def append(self, line: bytes) -> None:
        """See :meth:`Journal.append`."""
        self._file.write(line)
        self._file.flush()

    def flush(self) -> None:
        """See :meth:`Journal.flush`. Every line is written when it is appended."""

    def remove(self) -> None:
        """See :meth:`Journal.remove`."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def close(self) -> None:
        """See :meth:`Journal.close`. An empty one is no use to anybody."""
        if self._file.closed:
            return
        if os.fstat(self._file.fileno()).st_size == 0:
            self._path.unlink(missing_ok=True)
        self._file.close()


class ObjectJournal:
    """A series of objects whose names begin alike.

    :param folder: where.
    :param name: what the objects' names begin with.
    :param clock: seconds on a clock that never runs backwards.
    """

    def __init__(self, folder: ObjectFolder, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._name = name
        self._clock = clock
        self._parts = [part for part in sorted(folder.names()) if part.startswith(f"{name}-")]
        self._lines: list[bytes] = []
        self._flushed_at = clock()

    def lines(self) -> Iterator[bytes]:
        """See :meth:`Journal.lines`."""
        for part in self._parts:
            with self._folder.open(part) as file:
                yield from file

    def append(self, line: bytes) -> None:
        """See :meth:`Journal.append`."""
        self._lines.append(line)
        if len(self._lines) >= LINES_PER_OBJECT or self._clock() - self._flushed_at >= SECONDS_PER_OBJECT:
            self.flush()

    def flush(self) -> None:
        """See :meth:`Journal.flush`."""
        self._flushed_at = self._clock()
        if self._lines:
            part = f"{self._name}-{len(self._parts):06d}.jsonl"
            with self._folder.draft(part) as draft:
                draft.writelines(self._lines)
                self._folder.publish(draft, part)
            self._parts.append(part)
            self._lines = []

    def remove(self) -> None:
        """See :meth:`Journal.remove`."""
        for part in self._parts:
            self._folder.remove(part)
        self._parts = []

    def close(self) -> None:
        """See :meth:`Journal.close`."""
        self.flush()
