"""What an exported folder says of itself, and what another run makes of it."""

from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.export.manifest import (
    CHECKPOINT,
    MANIFEST,
    Part,
    orphaned_files,
    part_name,
    read_checkpoint,
    read_manifest,
)
from airflow_provider_leadconv.export.summary import FileFacts
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.endpoint import conversion
from tests.support.exports import endpoint_of, export, failing_after, manifest

FACTS = FileFacts(rows=3, min_id=1, max_id=3, bytes=9, sha256="0123456789abcdef" * 4)


def interrupted_export(folder):
    """Leave a checkpoint."""
    endpoint = endpoint_of(1000, on_request=failing_after(4))
    with pytest.raises(Exception, match="503"):
        export(endpoint, folder, rows_per_file=250)
    return LocalFolder(folder)


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))


def test_an_empty_folder_has_neither(tmp_path):
    folder = LocalFolder(tmp_path)
    assert read_manifest(folder) == (None, None)
    assert read_checkpoint(folder) is None


def test_the_digest_tells_manifests_apart(tmp_path):
    digests = []
    for rows in (1, 2):
        export(endpoint_of(rows), tmp_path)
        digests.append(read_manifest(LocalFolder(tmp_path)).digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize("version", [0, 2, 99])
def test_a_manifest_of_another_format_version_is_refused(tmp_path, version):
    endpoint = endpoint_of(10)
    export(endpoint, tmp_path, incremental=True)
    change(tmp_path / MANIFEST, format_version=version)
    before = (tmp_path / MANIFEST).read_bytes()
    endpoint.add(conversion(11))
    with pytest.raises(InvalidRequestError, match=rf"_manifest\.json has format version {version}, not 1"):
        export(endpoint, tmp_path, incremental=True)
    assert (tmp_path / MANIFEST).read_bytes() == before


UNREADABLE = ["", "{}", "[]", "{", '{"format_version": 1, "rows": 1e999', "[" * 9999, "\0" * 500, '{"\xff": 1}']
FOREIGN = [
    *("../secret", "/etc/passwd", "a/b", "..", ".", "", "_manifest.json", "part-00000-0123456789abcdef"),
    *("part-00000-0123456789abcdef.jsonl/../../x", "part-00000-0123456789abcdef.jsonl\n", "part-\u0660\u0660000-x.csv"),
    *(
        "part-00000-0123456789abcdef./x",
        "part-00000-0123456789abcdef.jsonl\0",
        ".lock",
        "part-00000-0123456789abcdef..",
    ),
]


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("options", [{"incremental": True}, {"incremental": True, "verify_complete": True}, {}])
def test_a_manifest_that_names_a_file_that_is_no_part_is_refused(tmp_path, name, options):
    endpoint = endpoint_of(10)
    export(endpoint, tmp_path, incremental=True)
    found = manifest(tmp_path)
    change(tmp_path / MANIFEST, parts=[found["parts"][0] | {"name": name}])
    with pytest.raises(InvalidRequestError, match=r"_manifest\.json lists .*, which is not a part"):
        export(endpoint, tmp_path, **options)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_checkpoint_that_names_a_file_that_is_no_part_is_ignored(tmp_path, name):
    folder = interrupted_export(tmp_path)
    parts = json.loads((tmp_path / CHECKPOINT).read_bytes())["parts"]
    change(tmp_path / CHECKPOINT, parts=[*parts, parts[0] | {"name": name}])
    assert read_checkpoint(folder) is None


@pytest.mark.parametrize("content", UNREADABLE)
def test_an_unreadable_manifest_is_refused(place, content):
    (place / MANIFEST).write_bytes(content.encode("latin-1"))
    with pytest.raises(InvalidRequestError, match=r"_manifest\.json cannot be read"):
        export(endpoint_of(1), place, incremental=True)


def test_a_checkpoint_is_read_back(tmp_path):
    checkpoint = read_checkpoint(interrupted_export(tmp_path))
    assert [part.rows for part in checkpoint.parts] == [250, 250, 250]
    assert checkpoint.last_id == 251


@pytest.mark.parametrize("version", [0, 2])
def test_a_checkpoint_of_another_format_version_is_ignored(tmp_path, version):
    folder = interrupted_export(tmp_path)
    change(tmp_path / CHECKPOINT, format_version=version)
    assert read_checkpoint(folder) is None


@pytest.mark.parametrize("content", UNREADABLE)
def test_an_unreadable_checkpoint_is_ignored(tmp_path, content):
    (tmp_path / CHECKPOINT).write_bytes(content.encode("latin-1"))
    assert read_checkpoint(LocalFolder(tmp_path)) is None
    assert export(endpoint_of(3), tmp_path).rows == 3
    assert manifest(tmp_path)["rows"] == 3


def test_a_part_is_named_after_its_place_and_its_content():
    name = part_name(7, FACTS, FileFormat(name="csv", compression="gzip"))
    assert name == "part-00007-0123456789abcdef.csv.gz"


def test_orphaned_files_are_those_of_exports_that_nothing_refers_to():
    part, orphan = (part_name(index, FACTS, FileFormat()) for index in (0, 1))
    names = [part, orphan, ".part.tmp", "._manifest.json.tmp", "._checkpoint.json.tmp", MANIFEST, "notes.txt", "part-1"]
    kept = Part(name=part, rows=3, min_id=1, max_id=3, bytes=9, sha256=FACTS.sha256)
    expected = {orphan, ".part.tmp", "._manifest.json.tmp", "._checkpoint.json.tmp"}
    assert orphaned_files(names, [kept]) == expected
