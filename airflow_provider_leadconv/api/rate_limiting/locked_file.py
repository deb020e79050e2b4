"""A small file in a private folder, used by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from airflow_provider_leadconv.api.rate_limiting import private_folder

STOPPED_AFTER = 0.2
"""Seconds for which the lock of a file must be held until its holder counts as stopped. It takes 0.1 ms otherwise."""

MAX_SIZE = 4096
"""Bytes of a file that are kept when it is replaced."""

_FLAGS = os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileBusyError(Exception):
    """Another process has the lock."""


class LockedFile:
    """A file that processes lock for a moment. Of each process, one thread at a time may use it.

    The file is opened each time: it may have been removed or replaced meanwhile, and a forked process would share the
    lock with its parent. Nothing here waits. A process that was stopped while it held the lock must not stop the
    others: they put a copy of the file in its place. When the stopped process goes on, it writes to a file that has no
    name any more.

    :param folder: created if it does not exist, readable by this user only.
    :param name: of the file.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = str(folder)
        self._name = name
        self._descriptor: int | None = None
        self._busy = (0, 0.0, 0.0)  # inode, and the first and the last time that its lock was held by another process

    def lock(self, now: float) -> int:
        """Open and lock the file.

        :param now: seconds of a monotonic clock.
        :return: its file descriptor, until :meth:`unlock`.
        :raises FileBusyError: if another process has the lock.
        :raises OSError: if the file cannot be had.
        """
        folder = private_folder.open_folder(self._folder)
        try:
            descriptor = self._descriptor = os.open(self._name, os.O_RDWR | _FLAGS, 0o600, dir_fd=folder)
            try:
                self._lock(descriptor, folder, now)
            except BaseException:
                self._close()
                raise
            return descriptor
        finally:
            os.close(folder)

    def unlock(self) -> None:
        """Unlock and close the file."""
        if self._descriptor is not None:
            # Closing does not unlock if the process was forked meanwhile.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._close()

    def reset_after_fork(self) -> None:
        """Leave the lock to the parent, of which a thread held it during the fork."""
        if self._descriptor is not None:
            self._close()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        assert descriptor is not None, "it is open"  # noqa: S101
        os.close(descriptor)

    def _lock(self, descriptor: int, folder: int, now: float) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if self._is_holder_stopped(os.fstat(descriptor).st_ino, now):
                self._replace(descriptor, folder)
            raise FileBusyError from None
        status = os.fstat(descriptor)
        private_folder.check_owner(status, self._name)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise OSError(errno.EINVAL, "it is not a file with one name", self._name)
        if not status.st_nlink:  # it was replaced before it was locked
            raise FileBusyError

    def _is_holder_stopped(self, inode: int, now: float) -> bool:
        busy, since, last = self._busy
        is_same = inode == busy and now - last < STOPPED_AFTER / 2  # tries that are far apart prove nothing
        self._busy = inode, since if is_same else now, now
        return is_same and now - since > STOPPED_AFTER

    def _replace(self, descriptor: int, folder: int) -> None:
        copy_name = f"{self._name}.{os.getpid()}"
        copy = os.open(copy_name, os.O_WRONLY | os.O_TRUNC | _FLAGS, 0o600, dir_fd=folder)
        try:
            os.write(copy, os.pread(descriptor, MAX_SIZE, 0))
        finally:
            os.close(copy)
        current = os.stat(self._name, dir_fd=folder, follow_symlinks=False)
        if current.st_ino == os.fstat(descriptor).st_ino:  # no other process was faster
            os.rename(copy_name, self._name, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.unlink(copy_name, dir_fd=folder)
