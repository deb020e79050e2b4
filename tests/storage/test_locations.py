"""Which folder a path leads to."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from upath import UPath

from airflow_provider_leadconv.storage.local import LocalFolder
from airflow_provider_leadconv.storage.locations import folder_of
from airflow_provider_leadconv.storage.object_store import ObjectFolder
from tests.support.storage import content, put


@pytest.mark.parametrize("url", ["{path}/new", "file://{path}/new"])
def test_a_path_of_this_machine_is_a_local_folder(tmp_path, url):
    folder = folder_of(ObjectStoragePath(url.format(path=tmp_path)))
    assert isinstance(folder, LocalFolder)
    assert not (tmp_path / "new").exists()
    put(folder, "a", b"one")
    assert (tmp_path / "new" / "a").read_bytes() == b"one"


def test_any_other_url_is_a_folder_of_an_object_store():
    path = UPath("memory://locations/exports")
    folder = folder_of(path)
    assert isinstance(folder, ObjectFolder)
    put(folder, "a", b"one")
    assert (path / "a").read_bytes() == content(folder, "a") == b"one"
