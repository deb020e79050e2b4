"""What is special about a folder of an object store."""

from __future__ import annotations

from datetime import timedelta

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_leadconv.storage.object_store import ObjectFolder
from tests.support.storage import put


def test_young_files_of_an_object_store_are_not_discarded():
    folder = ObjectFolder(fsspec.filesystem("memory", skip_instance_cache=True), "/bucket/young")
    put(folder, "a", b"")
    folder.discard(["a"])
    assert folder.names() == ["a"]


class WriteOnceStore(MemoryFileSystem):
    def rm_file(self, path):
        raise PermissionError("AccessDenied")


def test_a_file_that_may_not_be_removed_stays_with_a_warning(caplog):
    folder = ObjectFolder(WriteOnceStore(skip_instance_cache=True), "/write-once", grace=timedelta(0))
    folder.check_writable()
    put(folder, "a", b"")
    folder.discard(["a"])
    assert sorted(folder.names()) == [".probe", "a"]
    assert "write-once/a, which is not needed any more: AccessDenied" in caplog.text
