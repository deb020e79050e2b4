"""Every file that is opened in a folder to which somebody else can write."""

from __future__ import annotations

import os
import stat

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus
from airflow_provider_leadconv.bulk.outputs.journal import LocalJournal
from airflow_provider_leadconv.bulk.outputs.results import Results
from airflow_provider_leadconv.bulk.split import write_chunks
from airflow_provider_leadconv.export.file import export_file
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.exports import endpoint_of, export, selection
from tests.support.storage import full_disk

LEADS = [ConversionRequest(1), ConversionRequest(2)]


def export_to_folder(path):
    export(endpoint_of(1000), path, rows_per_file=250, incremental=True, verify_complete=True)


def export_to_file(path):
    export_file(endpoint_of(1000).client(), selection(), LocalFolder(path), "out.jsonl", FileFormat())


def convert(path):
    results = Results(LocalFolder(path), "r.jsonl", LocalJournal(path / "r.jsonl.journal"), run="run", leads=LEADS)
    try:
        results.note_precheck(1)
        results.note_sending()
        for lead in LEADS:
            results.add(ConversionResult(lead_id=lead.lead_id, status=ConversionStatus.UNKNOWN))
        results.publish()
    finally:
        results.close()


def split(path):
    write_chunks(LEADS, LocalFolder(path), chunk_size=1, max_chunks=10)


FILES = {
    ".lock": export_to_folder,
    ".part.tmp": export_to_folder,
    "._manifest.json.tmp": export_to_folder,
    "._checkpoint.json.tmp": export_to_folder,
    "_manifest.json": export_to_folder,
    "_checkpoint.json": export_to_folder,
    ".out.jsonl.tmp": export_to_file,
    "r.jsonl": convert,
    "r.jsonl.journal": convert,
    ".r.jsonl.tmp": convert,
    "chunk-0000.jsonl": split,
    ".chunk-0000.jsonl.tmp": split,
}
"""File -> what opens it."""
REPLACED = {"r.jsonl", "chunk-0000.jsonl"}
"""What is read only if it is a file."""
ROOM_NEEDED = {convert: 500, split: 50}
JOBS = [export_to_folder, export_to_file, convert, split]


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", FILES)
def test_a_link_that_somebody_put_there_is_an_error_and_its_target_is_untouched(name, shared, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    target.chmod(0o640)
    (shared / name).symlink_to(target)
    with pytest.raises((OSError, InvalidRequestError), match=rf"symbolic links are not followed here: '.*/{name}'"):
        FILES[name](shared)
    assert target.read_bytes() == b"precious"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("name", FILES)
def test_a_pipe_that_somebody_put_there_is_an_error_or_replaced(name, shared):
    os.mkfifo(shared / name)
    if name in REPLACED:
        FILES[name](shared)
        assert (shared / name).is_file()
        return
    with pytest.raises((OSError, InvalidRequestError), match=rf"not a file: '.*/{name}'"):
        FILES[name](shared)


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("umask", [0o000, 0o022], ids=oct)
def test_files_are_private_until_they_are_published(job, umask, shared, monkeypatch):
    modes = {}

    def fsync(descriptor, original=os.fsync):
        original(descriptor)
        for path in shared.iterdir():
            modes.setdefault(path.name, set()).add(stat.S_IMODE(path.stat().st_mode))

    monkeypatch.setattr(os, "fsync", fsync)
    before = os.umask(umask)
    try:
        job(shared)
    finally:
        os.umask(before)
    assert modes
    for name, seen in modes.items():
        if name.endswith((".lock", ".journal")):
            assert seen == {0o600}
        elif not name.endswith(".tmp"):
            assert seen == {0o666 & ~umask}
    for path in shared.iterdir():
        if path.name != ".lock":
            assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("umask", [0o000, 0o022], ids=oct)
def test_a_draft_is_private_while_it_is_written(umask, shared):
    before = os.umask(umask)
    try:
        with LocalFolder(shared).draft("a"):
            assert stat.S_IMODE((shared / ".a.tmp").stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("job", "room"),
    [(job, room) for job in JOBS for room in (0, 10, 100, 5_000) if room <= ROOM_NEEDED.get(job, room)],
)
def test_a_full_disk_names_the_file_and_publishes_nothing(job, room, shared, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    with full_disk(room), pytest.raises(OSError, match=rf"File too large: '{shared}/"):
        job(shared)
    published = {path.name for path in shared.iterdir() if not path.name.startswith(".")}
    assert not {
        name for name in published if not name.startswith(("part-", "r.jsonl.journal", "r.jsonl.claim", "_checkpoint"))
    }
    job(shared)
