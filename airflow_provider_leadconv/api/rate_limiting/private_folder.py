"""A folder of one user for small files that the processes of a host share."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

FOLDER_VARIABLE = "LEADCONV_STATE_DIR"
"""Environment variable that names another folder than the default."""

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # local, never on a disk, and the same whatever TMPDIR says
_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK_TYPES = ("9p", "afs", "ceph", "cifs", "fuse.", "gluster", "lustre", "ncp", "nfs", "smb")
_ESCAPED = re.compile(rb"\\([0-3][0-7]{2})")  # a space is \040
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def state_folder() -> Path:
    """Return the folder in which the processes of this user and host share state."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else _SHARED_MEMORY / f"airflow-provider-leadconv-{os.geteuid()}"


def open_folder(path: Path | str) -> int:
    """Open a folder that only this user can use. If it does not exist, it is created.

    :param path: the folder; its parent exists.
    :return: a file descriptor, which the caller closes.
    :raises OSError: if it cannot be had, is a link, or belongs to someone else.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except FileNotFoundError:
        Path(path).mkdir(0o700, exist_ok=True)
        descriptor = os.open(path, _FLAGS)
    try:
        check_owner(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def check_owner(status: os.stat_result, path: Path | str) -> None:
    """Check that a file or a folder is this user's, and closed to all others.

    :raises PermissionError: if it is not.
    """
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        what = f"it belongs to user {status.st_uid} with mode {stat.S_IMODE(status.st_mode):o}"
        raise PermissionError(errno.EPERM, what, str(path))


def check_is_local(path: Path) -> None:
    """Check that a folder is not on a network file system, where locks are slow, and shared by hosts with other clocks.

    :raises OSError: if it is, or if its path is relative, and so another one in each process.
    """
    if not path.is_absolute():
        raise OSError(errno.EINVAL, f"{FOLDER_VARIABLE} is not an absolute path", str(path))
    found, kind = b"", ""
    real = os.path.realpath(os.fsencode(path))
    mounts = _MOUNTS.read_bytes().rstrip(b"\n")  # not text, as names of mounts may be in any encoding
    for line in mounts.split(b"\n"):
        before, _, after = line.partition(b" - ")
        mount = _ESCAPED.sub(lambda escaped: bytes([int(escaped[1], 8)]), before.split(b" ")[4])
        if len(mount) >= len(found) and (real == mount or real.startswith(mount.rstrip(b"/") + b"/")):
            found, kind = mount, os.fsdecode(after.split(b" ")[0])
    if kind.startswith(_NETWORK_TYPES):
        raise OSError(errno.ENOTSUP, f"it is on a network file system ({kind})", str(path))
