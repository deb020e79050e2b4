"""What every folder promises, whatever the store."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import fsspec
import pytest

from airflow_provider_leadconv.storage.local import LocalFolder
from airflow_provider_leadconv.storage.object_store import ObjectFolder
from tests.support.storage import content, put


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    if request.param == "local":
        yield LocalFolder(tmp_path / "made" / "on demand")
        return
    store = fsspec.filesystem("memory", skip_instance_cache=True)
    yield ObjectFolder(store, f"/bucket/{tmp_path.name}", grace=timedelta(0))
    if store.exists(f"/bucket/{tmp_path.name}"):
        store.rm(f"/bucket/{tmp_path.name}", recursive=True)


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
