from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.jobs.journal import LocalJournal, ObjectJournal, journal_of
from airflow_provider_leadconv.jobs.object_folder import ObjectFolder
from airflow_provider_leadconv.jobs.storage import ExportConflictError


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(MemoryFileSystem, "store", {})  # or it would be that of all tests
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    return MemoryFileSystem()


def lines_after(journal):
    return list(journal.lines())


def test_a_local_line_is_there_when_it_was_appended(tmp_path):
    path = tmp_path / "new" / "results.jsonl.journal"
    journal = LocalJournal(path)
    journal.append(b"1\n")
    journal.append(b"2\n")
    assert path.read_bytes() == b"1\n2\n"  # nothing was closed or flushed, as when the process is killed


def test_the_next_process_goes_on_after_the_last_whole_line(tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(b"1\n2\n{torn")
    journal = LocalJournal(path)
    assert lines_after(journal) == [b"1\n", b"2\n"]
    journal.append(b"3\n")
    assert path.read_bytes() == b"1\n2\n3\n"
    journal.close()
    journal.close()
    journal = LocalJournal(path)
    assert lines_after(journal) == [b"1\n", b"2\n", b"3\n"]
    journal.remove()
    journal.close()
    assert not path.exists()


def test_two_processes_do_not_share_a_journal(tmp_path):
    first = LocalJournal(tmp_path / "journal")
    with pytest.raises(ExportConflictError, match="another run is writing"):
        LocalJournal(tmp_path / "journal")
    first.append(b"1\n")
    first.close()
    LocalJournal(tmp_path / "journal").close()


def test_an_empty_journal_is_not_left_behind(tmp_path):
    LocalJournal(tmp_path / "journal").close()
    assert list(tmp_path.iterdir()) == []


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidRequestError, match=r"results_path cannot be written: .*file"):
        LocalJournal(tmp_path / "file" / "journal")


def test_objects_of_a_thousand_lines(store):
    journal = ObjectJournal(ObjectFolder(store, "/bucket"), "results.jsonl.journal", clock=lambda: 0.0)
    for number in range(2500):
        journal.append(b"%d\n" % number)
    assert sorted(store.ls("/bucket", detail=False)) == [
        "/bucket/results.jsonl.journal-000000.jsonl",
        "/bucket/results.jsonl.journal-000001.jsonl",
    ]
    survivor = ObjectJournal(ObjectFolder(store, "/bucket"), "results.jsonl.journal")
    assert lines_after(survivor) == [b"%d\n" % number for number in range(2000)]


def test_an_object_every_half_minute(store):
    now = [0.0]
    journal = ObjectJournal(ObjectFolder(store, "/bucket"), "j", clock=lambda: now[0])
    journal.append(b"1\n")
    now[0] = 29.0
    journal.append(b"2\n")
    assert ObjectFolder(store, "/bucket").names() == []
    now[0] = 30.0
    journal.append(b"3\n")
    assert store.cat("/bucket/j-000000.jsonl") == b"1\n2\n3\n"


def test_the_next_process_adds_objects(store):
    folder = ObjectFolder(store, "/bucket")
    for number in range(12):
        journal = ObjectJournal(folder, "j")
        assert lines_after(journal) == [b"%d\n" % earlier for earlier in range(number)]
        journal.append(b"%d\n" % number)
        journal.close()
        journal.flush()
    store.pipe("/bucket/other", b"x")
    journal.remove()
    assert folder.names() == ["other"]


def test_a_location_tells_which(tmp_path, store):
    local = journal_of(ObjectStoragePath(f"file://{tmp_path}/results.jsonl"))
    local.append(b"1\n")
    assert (tmp_path / "results.jsonl.journal").read_bytes() == b"1\n"
    attach("memory", fs=store)
    far = journal_of(ObjectStoragePath("memory://bucket/folder/results.jsonl"))
    far.append(b"1\n")
    far.flush()
    assert ObjectStoragePath("memory://bucket/folder/results.jsonl.journal-000000.jsonl").read_bytes() == b"1\n"
