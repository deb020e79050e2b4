"""Files that are locked by processes: real forks and signals."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_provider_leadconv.api.rate_limiting.locked_file import STOPPED_AFTER, FileBusyError, LockedFile

STEP = STOPPED_AFTER / 4


def in_child(work: Callable[[], object]) -> int:
    """:return: the id of a forked process that calls this, and is killed after a minute."""
    if pid := os.fork():
        return pid
    status = 70
    try:
        signal.alarm(60)
        work()
        status = 0
    finally:
        os._exit(status)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def lock_and_stop(folder: Path) -> int:
    """:return: the id of a process that is stopped while it has the lock."""

    def work() -> None:
        os.write(LockedFile(folder, "state").lock(0.0), b"old")
        os.kill(os.getpid(), signal.SIGSTOP)

    pid = in_child(work)
    os.waitpid(pid, os.WUNTRACED)
    return pid


def is_locked(file: LockedFile, now: float = 0.0) -> bool:
    try:
        file.lock(now)
    except FileBusyError:
        return True
    file.unlock()
    return False


def test_one_at_a_time(tmp_path: Path):
    one, other = (LockedFile(tmp_path / "states", "state") for _ in range(2))
    one.lock(0.0)
    assert is_locked(other)
    one.unlock()
    assert not is_locked(other)
    assert stat.S_IMODE((tmp_path / "states" / "state").stat().st_mode) == 0o600


def test_what_was_written_is_there_for_the_next_one(tmp_path: Path):
    file = LockedFile(tmp_path / "states", "state")
    os.pwrite(file.lock(0.0), b"content", 0)
    file.unlock()
    assert os.pread(file.lock(0.0), 100, 0) == b"content"
    file.unlock()


def test_a_killed_process_leaves_no_lock(tmp_path: Path):
    folder = tmp_path / "states"
    pid = lock_and_stop(folder)
    file = LockedFile(folder, "state")
    assert is_locked(file)
    kill(pid)
    assert not is_locked(file)


def test_a_stopped_process_does_not_stop_the_others(tmp_path: Path):
    folder = tmp_path / "states"
    pid = lock_and_stop(folder)
    try:
        file, other = (LockedFile(folder, "state") for _ in range(2))
        tries = 0
        while is_locked(file, tries * STEP):
            tries += 1
        assert STOPPED_AFTER < tries * STEP <= 2 * STOPPED_AFTER
        assert os.pread(other.lock(0.0), 100, 0) == b"old"
        other.unlock()
        assert [path.name for path in folder.iterdir()] == ["state"]
    finally:
        os.kill(pid, signal.SIGCONT)
        os.waitpid(pid, 0)


def test_what_a_stopped_process_writes_later_does_no_harm(tmp_path: Path):
    folder = tmp_path / "states"
    stopped, file = (LockedFile(folder, "state") for _ in range(2))
    descriptor = stopped.lock(0.0)
    assert [is_locked(file, number * STEP) for number in range(7)] == [True] * 6 + [False]
    os.pwrite(file.lock(1.0), b"new", 0)
    file.unlock()
    os.pwrite(descriptor, b"stopped", 0)
    stopped.unlock()
    assert os.pread(stopped.lock(1.0), 100, 0) == b"new"
    stopped.unlock()


def test_a_lock_that_is_busy_now_and_then_is_not_that_of_a_stopped_process(tmp_path: Path):
    folder = tmp_path / "states"
    holder, file = (LockedFile(folder, "state") for _ in range(2))
    holder.lock(0.0)
    inode = (folder / "state").stat().st_ino
    assert all(is_locked(file, number * STOPPED_AFTER) for number in range(10))
    assert (folder / "state").stat().st_ino == inode
    holder.unlock()


def test_a_child_does_not_keep_the_lock_that_its_parent_had_during_the_fork(tmp_path: Path):
    file, other = (LockedFile(tmp_path / "states", "state") for _ in range(2))
    file.lock(0.0)

    def work() -> None:
        file.reset_after_fork()
        signal.pause()

    pid = in_child(work)
    try:
        file.unlock()
        assert not is_locked(other)
    finally:
        kill(pid)


def test_a_file_that_was_removed_is_made_anew(tmp_path: Path):
    folder = tmp_path / "states"
    file = LockedFile(folder, "state")
    assert not is_locked(file)
    (folder / "state").unlink()
    folder.rmdir()
    assert not is_locked(file)


@pytest.mark.parametrize("kind", ["link", "hard link", "folder", "pipe", "open to others"])
def test_what_is_not_a_file_of_ours_is_refused(tmp_path: Path, kind: str):
    folder, target = tmp_path / "states", tmp_path / "target"
    folder.mkdir(0o700)
    target.touch(0o600)
    path = folder / "state"
    if kind == "link":
        path.symlink_to(target)
    elif kind == "hard link":
        path.hardlink_to(target)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.touch()
        path.chmod(0o644)
    file = LockedFile(folder, "state")
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(OSError):
        file.lock(0.0)
    assert len(list(Path("/dev/fd").iterdir())) == before
    assert target.read_bytes() == b""


def test_another_lock_of_the_same_process_is_respected(tmp_path: Path):
    folder = tmp_path / "states"
    file = LockedFile(folder, "state")
    assert not is_locked(file)
    with (folder / "state").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert is_locked(file)
