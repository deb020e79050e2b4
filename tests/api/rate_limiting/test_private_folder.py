from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from airflow_provider_leadconv.api.rate_limiting import private_folder
from airflow_provider_leadconv.api.rate_limiting.private_folder import check_is_local, open_folder, state_folder


def test_a_folder_is_created_for_its_owner_only(tmp_path: Path):
    for _ in range(2):
        os.close(open_folder(tmp_path / "states"))
    assert stat.S_IMODE((tmp_path / "states").stat().st_mode) == 0o700


def test_a_link_to_a_folder_is_refused(tmp_path: Path):
    (tmp_path / "target").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="link"):
        open_folder(tmp_path / "link")


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_others_can_use_is_refused(tmp_path: Path, mode: int):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(PermissionError, match=f"it belongs to user {os.geteuid()} with mode {mode:o}: '{folder}'"):
        open_folder(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path):
    folder = tmp_path / "theirs"
    folder.mkdir(0o700)
    os.chown(folder, 12345, 12345)
    with pytest.raises(PermissionError, match="it belongs to user 12345 with mode 700"):
        open_folder(folder)


def test_a_folder_without_a_parent_is_not_made_with_it(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        open_folder(tmp_path / "no" / "folder")


def test_descriptors_are_closed(tmp_path: Path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(3):
        with pytest.raises(PermissionError):
            open_folder(folder)
    assert len(list(Path("/dev/fd").iterdir())) == before


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LEADCONV_STATE_DIR", "/mnt/states")
    assert state_folder() == Path("/mnt/states")
    monkeypatch.delenv("LEADCONV_STATE_DIR")
    assert state_folder() == Path(f"/dev/shm/airflow-provider-leadconv-{os.geteuid()}")


MOUNTS = """\
21 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
22 21 0:21 / /dev/shm rw - tmpfs tmpfs rw
23 21 0:22 / /home rw shared:3 - nfs4 server:/home rw
24 23 0:23 / /home/with\\040space rw - ext4 /dev/vdb rw
25 21 0:24 / /mnt rw - fuse.sshfs host:/ rw
26 21 0:25 / /srv/Köln rw - nfs4 server:/srv rw
"""
NOT_UTF8 = b"27 21 0:26 / /media/caf\xe9 rw - vfat /dev/sdb1 rw\n"


@pytest.fixture
def _mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_bytes(MOUNTS.encode() + NOT_UTF8)
    monkeypatch.setattr(private_folder, "_MOUNTS", tmp_path / "mountinfo")


@pytest.mark.usefixtures("_mounts")
@pytest.mark.parametrize(
    ("path", "kind"),
    [("/home/me/states", "nfs4"), ("/home", "nfs4"), ("/mnt/a", "fuse.sshfs"), ("/srv/Köln/states", "nfs4")],
)
def test_a_network_file_system_is_refused(path: str, kind: str):
    with pytest.raises(OSError, match=f"it is on a network file system \\({kind}\\): '{path}'"):
        check_is_local(Path(path))


@pytest.mark.usefixtures("_mounts")
@pytest.mark.parametrize("path", ["/dev/shm/states", "/homes/me", "/home/with space/states", "/states"])
def test_a_local_file_system_is_taken(path: str):
    check_is_local(Path(path))


@pytest.mark.parametrize("path", ["states", "./states", "~/states"])
def test_a_relative_path_is_refused(path: str):
    with pytest.raises(OSError, match="LEADCONV_STATE_DIR is not an absolute path"):
        check_is_local(Path(path))


def test_the_folder_of_this_test_is_local():
    check_is_local(state_folder())
