"""The proof that an export is complete."""

from __future__ import annotations

import contextlib
import hashlib

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.export.file import write_rows
from airflow_provider_leadconv.export.manifest import Part, part_name
from airflow_provider_leadconv.export.pages import PageRead
from airflow_provider_leadconv.export.verification import Comparison, DamagedExportError, exported_ids
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.endpoint import conversion
from tests.support.exports import FORMATS, endpoint_of, export, ids, manifest, selection


def pages(*ids):
    return [PageRead([LeadConversion(id=number, lead_id=1) for number in page]) for page in ids]


@pytest.mark.parametrize(
    ("exported", "listed", "missing", "vanished"),
    [
        ([], [], [], []),
        ([3, 2, 1], [[3, 2], [1]], [], []),
        ([], [[3, 2], [1]], [3, 2, 1], []),
        ([3, 2, 1], [[]], [], [3, 2, 1]),
        ([5, 3, 1], [[4, 3], [2]], [4, 2], [5, 1]),
        ([9, 8, 2], [[7, 2], [1]], [7, 1], [9, 8]),
    ],
)
def test_a_comparison_finds_what_is_missing_and_what_has_vanished(exported, listed, missing, vanished):
    comparison = Comparison(iter(exported))
    found = [row.id for page in comparison.missing(pages(*listed)) for row in page.rows]
    assert (found, comparison.vanished, comparison.listed) == (missing, vanished, sum(map(len, listed)))


def parts_of(folder, *ids):
    """Publish part files with these ids."""
    for index, of_part in enumerate(ids):
        rows = [LeadConversion(id=number, lead_id=1) for number in of_part]
        with folder.draft("part") as draft:
            facts = write_rows(draft, FileFormat(), [rows])
            name = part_name(index, facts, FileFormat())
            folder.publish(draft, name)
        yield Part(name=name, **msgspec.structs.asdict(facts))


def test_ids_are_read_back_in_falling_order_across_overlapping_parts(tmp_path):
    folder = LocalFolder(tmp_path)
    parts = list(parts_of(folder, [9, 5, 1], [], [8, 4], [7, 6]))
    assert list(exported_ids(folder, parts, FileFormat())) == [9, 8, 7, 6, 5, 4, 1]


def test_an_id_in_two_parts_is_damage(tmp_path):
    folder = LocalFolder(tmp_path)
    parts = list(parts_of(folder, [9, 5], [5, 4]))
    with pytest.raises(DamagedExportError, match="conversion 5 is in the export twice"):
        list(exported_ids(folder, parts, FileFormat()))


def test_a_part_with_other_bytes_is_damage(tmp_path):
    folder = LocalFolder(tmp_path)
    (part,) = parts_of(folder, [9, 5])
    (tmp_path / part.name).write_bytes((tmp_path / part.name).read_bytes().replace(b"9", b"8"))
    with pytest.raises(DamagedExportError, match=r"its SHA-256 differs\. Export to another folder, or pass full=True"):
        list(exported_ids(folder, [part], FileFormat()))


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_damage_that_the_manifest_agrees_with_is_an_error_or_read(tmp_path, file_format, data):
    folder = LocalFolder(tmp_path)
    rows = [LeadConversion(id=number, lead_id=1) for number in (9, 5, 1)]
    with folder.draft("part") as draft:
        write_rows(draft, file_format, [rows])
        draft.seek(0)
        content = bytearray(draft.read())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)))])
    (tmp_path / "p").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    part = Part(name="p", rows=3, min_id=1, max_id=9, bytes=len(content), sha256=digest)
    with contextlib.suppress(DamagedExportError):
        assert all(isinstance(number, int) for number in exported_ids(folder, [part], file_format))


def test_a_part_that_is_gone_is_named(tmp_path):
    folder = LocalFolder(tmp_path)
    (part,) = parts_of(folder, [9, 5])
    (tmp_path / part.name).unlink()
    with pytest.raises(FileNotFoundError, match=part.name):
        list(exported_ids(folder, [part], FileFormat()))


class TestVerifyComplete:
    @pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
    def test_missing_rows_are_added_and_vanished_ones_are_listed(self, place, file_format):
        endpoint = endpoint_of(1000)
        missed = endpoint.rows.pop(500)

        def change(sent):
            if sent.number == 6:
                endpoint.add(missed, conversion(1001))
                del endpoint.rows[700], endpoint.rows[1], endpoint.rows[1000]

        endpoint.on_request = change
        summary = export(endpoint, place, file_format=file_format, rows_per_file=300, verify_complete=True)
        assert sorted(ids(place)) == list(range(1, 1002))
        found = manifest(place)["verification"]
        assert (found["listed"], found["added"], found["vanished"]) == (998, 2, [1000, 700, 1])
        assert found["statement"].startswith("A second pass over the whole listing found 998 conversions.")
        assert summary.api_calls == 10

    def test_nothing_is_taken_twice_afterwards(self, place):
        endpoint = endpoint_of(1000, on_request=lambda sent: endpoint.add(conversion(1000 + sent.number)))
        export(endpoint, place, incremental=True, verify_complete=True)
        export(endpoint, place, incremental=True)
        found = ids(place)
        assert len(found) == len(set(found))
        assert set(range(1, 1010)) <= set(found)

    def test_all_parts_of_an_incremental_folder_are_compared(self, place):
        endpoint = endpoint_of(1000)
        missed = endpoint.rows.pop(3)
        for last in (1100, 1200):
            export(endpoint, place, incremental=True)
            endpoint.add(*(conversion(n) for n in range(last - 100, last)))
        endpoint.add(missed)
        export(endpoint, place, incremental=True, verify_complete=True)
        assert sorted(ids(place)) == endpoint.ids
        assert manifest(place)["verification"]["added"] == 1

    def test_statement_says_what_was_left_out(self, tmp_path):
        export(endpoint_of(10), tmp_path, selection(creator_id=2), verify_complete=True)
        assert "the listing with the filters" in manifest(tmp_path)["verification"]["statement"]

    def test_changed_part_is_found(self, place):
        endpoint = endpoint_of(100)
        export(endpoint, place, incremental=True)
        part = next(path for path in place.iterdir() if path.name.startswith("part-"))
        part.write_bytes(part.read_bytes()[:-10])
        with pytest.raises(DamagedExportError, match=f"{part.name} has changed"):
            export(endpoint, place, incremental=True, verify_complete=True)
