from __future__ import annotations

import subprocess
import sys
import textwrap
from contextlib import suppress
from datetime import timedelta

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_leadconv.jobs.object_folder import ObjectFolder
from airflow_provider_leadconv.jobs.storage import ExportConflictError, LocalFolder


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    if request.param == "local":
        yield LocalFolder(tmp_path / "made" / "on demand")
        return
    store = fsspec.filesystem("memory", skip_instance_cache=True)
    yield ObjectFolder(store, f"/bucket/{tmp_path.name}", grace=timedelta(0))
    if store.exists(f"/bucket/{tmp_path.name}"):
        store.rm(f"/bucket/{tmp_path.name}", recursive=True)


def put(folder, name, data):
    with folder.draft("x") as draft:
        draft.write(data)
        folder.publish(draft, name)


def content(folder, name):
    with folder.open(name) as file:
        return file.read()


def test_published_file_is_there_and_its_draft_is_not(folder):
    put(folder, "a", b"one")
    put(folder, "a", b"two")
    assert folder.names() == ["a"]
    assert content(folder, "a") == b"two"


def test_unpublished_draft_leaves_the_old_file_and_nothing_else(folder):
    put(folder, "a", b"one")
    with suppress(ZeroDivisionError), folder.draft("a") as draft:
        draft.write(b"two")
        raise ZeroDivisionError
    assert folder.names() == ["a"]
    assert content(folder, "a") == b"one"


def test_remove_and_discard(folder):
    for name in "abc":
        put(folder, name, b"")
    folder.remove("a")
    folder.remove("a")
    folder.discard(["b", "gone"])
    assert folder.names() == ["c"]


def test_missing(folder):
    assert folder.names() == []
    put(folder, "a", b"")
    with pytest.raises(FileNotFoundError):
        folder.open("b")


def test_young_files_of_an_object_store_are_not_discarded():
    folder = ObjectFolder(fsspec.filesystem("memory", skip_instance_cache=True), "/bucket/young")
    put(folder, "a", b"")
    folder.discard(["a"])
    assert folder.names() == ["a"]


class WriteOnceStore(MemoryFileSystem):
    def rm_file(self, path):
        raise PermissionError("AccessDenied")


def test_where_nothing_may_be_removed_it_stays(caplog):
    folder = ObjectFolder(WriteOnceStore(skip_instance_cache=True), "/write-once", grace=timedelta(0))
    folder.check_writable()
    put(folder, "a", b"")
    folder.discard(["a"])
    assert sorted(folder.names()) == [".probe", "a"]
    assert "write-once/a is not needed any more and may not be removed: AccessDenied" in caplog.text


def test_two_runs_exclude_each_other(tmp_path):
    one, two = LocalFolder(tmp_path), LocalFolder(tmp_path)
    with one.draft("a"), pytest.raises(ExportConflictError, match="another run is writing"), two.draft("a"):
        pass
    with one.locked(), pytest.raises(ExportConflictError), two.locked():
        pass
    with one.draft("a"), two.draft("b"), two.locked():
        pass


def test_lock_and_draft_of_a_killed_process_are_taken_over(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from airflow_provider_leadconv.jobs.storage import LocalFolder
        folder = LocalFolder(Path(sys.argv[1]))
        with folder.locked(), folder.draft("a") as draft:
            draft.write(b"half of it")
            draft.flush()
            os.kill(os.getpid(), 9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=False)
    assert done.returncode == -9
    folder = LocalFolder(tmp_path)
    assert ".a.tmp" in folder.names()
    with folder.locked(), folder.draft("a") as draft:
        draft.write(b"all")
        folder.publish(draft, "a")
    assert content(folder, "a") == b"all"
    assert sorted(folder.names()) == [".lock", "a"]
