"""Local files that hold what only their owner may read: journals, drafts, locks and spools.

Others may be able to write to the folder. So a link that they put there is not followed, and a pipe is not waited for.
Every error names its file, which those of writing do not do by themselves.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from typing_extensions import override

_OWNER_ONLY = 0o600
_UMASK_OF_LINUX = Path("/proc/self/status")


def open_private(path: Path) -> IO[bytes]:
    """Open a file for reading and appending. If it does not exist, it is created for its owner only.

    :raises OSError: if it cannot be opened, or is a link or anything else than a file.
    """
    return cast("IO[bytes]", io.BufferedRandom(_NamedFile(str(path), "a+", opener=_open)))


def open_unlinked(path: Path) -> IO[bytes]:
    """Open a file for reading.

    :raises OSError: if it cannot be opened, or is a link or anything else than a file.
    """
    return cast("IO[bytes]", io.BufferedReader(_NamedFile(str(path), "r", opener=_open)))


def spool(*, suffix: str = "", named: bool = False) -> IO[bytes]:
    """Open a new file for reading and writing, in the folder for temporary files.

    :param suffix: what its name ends in.
    :param named: leave its name to the caller, who removes it; otherwise it is gone when it is closed.
    """
    descriptor, path = tempfile.mkstemp(prefix="leadconv-", suffix=suffix)
    if not named:
        Path(path).unlink()
    return cast("IO[bytes]", io.BufferedRandom(_NamedFile(path, "r+", opener=lambda *_: descriptor)))


def sync(file: IO[bytes]) -> None:
    """Make what was written to a file survive a power failure."""
    file.flush()
    with naming(file.name):
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make the names in a folder survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(str(path)):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def allow_other_readers(file: IO[bytes]) -> None:
    """Give a file the permissions that a new one would get: those that the umask leaves."""
    with naming(file.name):
        os.fchmod(file.fileno(), 0o666 & ~_umask())


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Add the path to errors of the operating system that name none."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise


class _NamedFile(io.FileIO):
    @override
    def write(self, data: Any) -> int:
        with naming(str(self.name)):
            return super().write(data)


def _open(path: str, flags: int) -> int:
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, _OWNER_ONLY)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "symbolic links are not followed here", path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file", path)
    return descriptor


def _umask() -> int:
    if _UMASK_OF_LINUX.exists():
        fields = dict(line.split(":", 1) for line in _UMASK_OF_LINUX.read_text().splitlines())
        return int(fields["Umask"], 8)
    umask = os.umask(0o077)  # elsewhere, it can only be read by setting it
    os.umask(umask)
    return umask
