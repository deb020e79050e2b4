"""Private files: whom they are open to, that no link leads out of them, and that errors name them."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from airflow_provider_leadconv.storage.files import (
    allow_other_readers,
    open_private,
    open_unlinked,
    spool,
    sync,
    sync_folder,
)
from tests.support.storage import full_disk


@pytest.fixture(params=[0o000, 0o002, 0o022, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(Path(path).stat().st_mode)


def test_a_private_file_is_its_owners_until_others_may_read_it(tmp_path, umask):
    with open_private(tmp_path / "a") as file:
        assert mode(tmp_path / "a") == 0o600
        allow_other_readers(file)
    (tmp_path / "usual").touch()
    assert mode(tmp_path / "a") == mode(tmp_path / "usual") == 0o666 & ~umask


def test_a_private_file_is_appended_to_and_read(tmp_path):
    (tmp_path / "a").write_bytes(b"one\n")
    with open_private(tmp_path / "a") as file:
        file.write(b"two\n")
        file.seek(0)
        assert list(file) == [b"one\n", b"two\n"]


@pytest.mark.parametrize("open_", [open_private, open_unlinked])
@pytest.mark.parametrize("target", ["there", "not there"])
def test_a_link_is_not_followed(tmp_path, open_, target):
    (tmp_path / "there").write_bytes(b"precious")
    (tmp_path / "a").symlink_to(tmp_path / target)
    with pytest.raises(OSError, match=r"symbolic links are not followed here: '.*/a'"):
        open_(tmp_path / "a")
    assert (tmp_path / "there").read_bytes() == b"precious"
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("open_", [open_private, open_unlinked])
def test_a_pipe_is_not_waited_for(tmp_path, open_):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(OSError, match=r"not a file: '.*/a'"):
        open_(tmp_path / "a")


def test_a_spool_has_no_name_unless_its_user_removes_it(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with spool() as file:
        assert list(tmp_path.iterdir()) == []
        file.write(b"one")
        file.seek(0)
        assert file.read() == b"one"
    with spool(suffix="-a", named=True) as file:
        assert [path.name for path in tmp_path.iterdir()] == [Path(file.name).name]
        assert mode(file.name) == 0o600
        assert file.name.endswith("-a")


@pytest.mark.parametrize("write", ["write", "flush", "sync", "close"])
@pytest.mark.parametrize("kind", ["file", "spool"])
def test_a_full_disk_names_the_file(tmp_path, kind, write, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = open_private(tmp_path / "leadconv-a") if kind == "file" else spool()
    actions = {
        "write": lambda: file.write(b"x" * 1_000_000),
        "flush": file.flush,
        "sync": lambda: sync(file),
        "close": file.close,
    }
    if write != "write":
        file.write(b"x")
    with full_disk(), pytest.raises(OSError, match=r"File too large: '.*/leadconv-"):
        actions[write]()
    file.close()


@pytest.mark.parametrize("sync_", [sync, sync_folder])
def test_a_disk_that_is_full_only_at_the_end_names_the_file(tmp_path, sync_, monkeypatch):
    def fsync(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")  # as over NFS

    monkeypatch.setattr(os, "fsync", fsync)
    with open_private(tmp_path / "a") as file:
        where = file if sync_ is sync else tmp_path
        with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}"):
            sync_(where)
