from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

try:
    from airflow.sdk.io import attach
except ImportError:  # Airflow 2
    from airflow.io.store import attach

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.bulk.outputs.journal import LocalJournal, ObjectJournal, has_journal, journal_of
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.object_store import ObjectFolder


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
    assert journal.kept_name() == "results.jsonl.journal"
    journal.append(b"1\n")
    journal.append(b"2\n")
    assert path.read_bytes() == b"1\n2\n"  # nothing was closed or flushed, as when the process is killed


def test_the_next_process_is_resumed_after_the_last_whole_line(tmp_path):
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
    assert journal.kept_name() is None


written = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(), max_size=3).map(
        lambda record: json.dumps(record).encode() + b"\n"
    ),
    max_size=6,
)
tears = st.sampled_from([b"", b"\n", b"\n\n\n", b"\0" * 4096, b"\0" * 100 + b"\n", b"\xff\xfe{", b'{"a": 1', b"[[\n\0"])
QUICK = settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))


@QUICK
@given(written, st.integers(0), st.lists(tears, max_size=3))
@example([b"{}\n"], 3, [b"\0" * 4096])
@example([b"{}\n", b"{}\n"], 4, [b"\n", b"\n\n"])
def test_whatever_is_torn_at_the_end_every_whole_line_before_it_is_read(tmp_path, lines, cut, tail):
    content = b"".join(lines)
    cut %= len(content) + 1
    path = tmp_path / "journal"
    path.write_bytes(content[:cut] + b"".join(tail))
    whole = content[:cut].splitlines(keepends=True)
    if whole and not whole[-1].endswith(b"\n"):
        rest, newline, _ = (whole.pop() + b"".join(tail)).partition(b"\n")
        whole += [rest + newline] if rest + newline in lines else []  # the tail happens to complete the line
    with closing(LocalJournal(path)) as journal:
        assert lines_after(journal) == whole
        journal.append(b"3\n")
    with closing(LocalJournal(path)) as journal:
        assert lines_after(journal) == [*whole, b"3\n"]


@QUICK
@given(written.filter(bool), st.integers(0), st.integers(1, 200))
@example([b"{}\n", b"{}\n", b"{}\n"], 4, 1)
def test_a_hole_with_whole_lines_after_it_is_refused_and_named(tmp_path, lines, start, size):
    content = b"".join(lines)
    start %= len(content)
    hole = content[start : start + size]
    path = tmp_path / "journal"
    damaged = content[:start] + b"\0" * len(hole) + content[start + len(hole) :]
    path.write_bytes(damaged)
    whole = content[:start].count(b"\n")
    with closing(LocalJournal(path)) as journal:
        if content[start + len(hole) :].count(b"\n") > 1:  # more than the line in which the hole ends
            named = f"{path} is damaged in line {whole + 1}, and line {whole + 2} is intact"
            with pytest.raises(InvalidRequestError, match=named):
                lines_after(journal)
            assert path.read_bytes() == damaged
        else:
            assert lines_after(journal) == lines[:whole]


def test_a_marker_survives_a_power_cut(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    journal = LocalJournal(tmp_path / "journal")
    journal.append(b"1\n")
    journal.flush()
    assert synced == [tmp_path / "journal", tmp_path]


def test_two_processes_do_not_share_a_journal(tmp_path):
    first = LocalJournal(tmp_path / "journal")
    with pytest.raises(ConcurrentRunError, match="another run is writing"):
        LocalJournal(tmp_path / "journal")
    first.append(b"1\n")
    first.close()
    LocalJournal(tmp_path / "journal").close()


def test_an_empty_journal_is_not_left_behind(tmp_path):
    LocalJournal(tmp_path / "journal").close()
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_path_is_an_error(tmp_path):
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
    assert journal.kept_name() == "j-*.jsonl"
    journal.remove()
    assert journal.kept_name() is None
    assert folder.names() == ["other"]


def test_what_another_process_adds_meanwhile_is_read_and_removed(store):
    folder = ObjectFolder(store, "/bucket")
    journal, other = ObjectJournal(folder, "j"), ObjectJournal(folder, "j")
    other.append(b"1\n")
    other.flush()
    assert lines_after(journal) == [b"1\n"]
    journal.append(b"2\n")
    journal.flush()
    other.append(b"lost\n")
    other.abandon()
    other.close()
    assert lines_after(ObjectJournal(folder, "j")) == [b"1\n", b"2\n"]
    other.remove()
    assert folder.names() == []


def test_an_abandoned_file_is_left_as_it_is(tmp_path):
    LocalJournal(tmp_path / "journal").abandon()
    assert (tmp_path / "journal").read_bytes() == b""


def test_the_path_decides_between_file_and_objects(tmp_path, store):
    local = journal_of(ObjectStoragePath(f"file://{tmp_path}/results.jsonl"))
    local.append(b"1\n")
    assert (tmp_path / "results.jsonl.journal").read_bytes() == b"1\n"
    attach("memory", fs=store)
    far = journal_of(ObjectStoragePath("memory://bucket/folder/results.jsonl"))
    far.append(b"1\n")
    far.flush()
    assert ObjectStoragePath("memory://bucket/folder/results.jsonl.journal-000000.jsonl").read_bytes() == b"1\n"


@pytest.mark.parametrize("folder", ["file://{tmp}", "memory://bucket/folder"])
def test_the_journal_of_a_run_that_did_not_end_is_noticed(tmp_path, store, folder):
    attach("memory", fs=store)
    path = ObjectStoragePath(f"{folder.format(tmp=tmp_path)}/results.jsonl")
    other = ObjectStoragePath(f"{folder.format(tmp=tmp_path)}/other.jsonl")
    assert not has_journal(path)
    journal = journal_of(path)
    journal.append(b"1\n")
    journal.flush()
    assert has_journal(path)
    assert not has_journal(other)
    journal.remove()
    assert not has_journal(path)


def test_a_folder_that_may_not_be_listed_may_have_a_journal(store, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("ListBucket")

    attach("memory", fs=store)
    monkeypatch.setattr(store, "ls", refuse)
    assert has_journal(ObjectStoragePath("memory://bucket/folder/results.jsonl"))
