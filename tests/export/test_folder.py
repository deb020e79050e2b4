from __future__ import annotations

import json
import os
import re
import socket
import time
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
import time_machine

from airflow_provider_leadconv.api.exceptions import InvalidRequestError, UnavailableError
from airflow_provider_leadconv.export.folder import FolderOptions
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.endpoint import EPOCH, Endpoint, conversion
from tests.support.exports import FORMATS, endpoint_of, export, failing_after, ids, manifest, names, selection
from tests.support.growing_endpoint import Killed, KilledFolder
from tests.support.responses import page, response
from tests.support.storage import full_disk


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
def test_parts_and_manifest(place, file_format):
    endpoint = endpoint_of(1050)
    summary = export(endpoint, place, file_format=file_format, rows_per_file=250)
    assert ids(place) == endpoint.ids[::-1]
    found = manifest(place)
    assert [part["rows"] for part in found["parts"]] == [250, 250, 250, 250, 50]
    assert all(part["name"].endswith(file_format.suffix) for part in found["parts"])
    assert found["settings"] == {
        "account": "acme",
        "host": "https://api.getbase.com",
        "file_format": file_format.name,
        "compression": file_format.compression,
        "filters": {},
        "created_from": None,
        "created_until": None,
    }
    assert (found["format_version"], found["requests"], found["verification"]) == (1, 6, None)
    assert found["started"] <= found["finished"]
    assert found["schema"]["created_at"] == "timestamp[us, UTC]"
    assert (summary.rows, summary.min_id, summary.max_id, summary.api_calls) == (1050, 1, 1050, 6)
    assert summary.bytes == sum(part["bytes"] for part in found["parts"])


def test_nothing_to_export_is_published_too(place):
    summary = export(Endpoint(), place)
    assert ids(place) == []
    assert (summary.rows, summary.min_id, summary.bytes) == (0, None, 0)


def test_time_window_into_a_folder(place):
    window = {"created_from": EPOCH + timedelta(minutes=300), "created_until": EPOCH + timedelta(minutes=500)}
    export(endpoint_of(1000), place, selection(**window), rows_per_file=150)
    assert ids(place) == list(range(499, 299, -1))


def test_a_failed_run_changes_nothing_and_a_rerun_leaves_no_orphaned_files(place):
    endpoint = endpoint_of(1000)
    export(endpoint, place, rows_per_file=300)
    before = {name: (place / name).read_bytes() for name in names(place)}
    endpoint.add(*(conversion(n) for n in range(1001, 2001)))
    endpoint.on_request = failing_after(len(endpoint.requests) + 7)
    with pytest.raises(UnavailableError):
        export(endpoint, place, rows_per_file=300)
    assert before.items() <= {name: (place / name).read_bytes() for name in names(place)}.items()
    endpoint.on_request = lambda sent: None
    export(endpoint, place, rows_per_file=250)
    assert ids(place) == endpoint.ids[::-1]


class FullDisk(LocalFolder):
    """A disk with room for two drafts."""

    room = 2

    @contextmanager
    def draft(self, name):
        self.room -= 1
        with nullcontext() if self.room >= 0 else full_disk(), super().draft(name) as draft:
            yield draft


def test_full_disk_is_named_and_leaves_the_last_export(tmp_path):
    endpoint = endpoint_of(1000)
    export(endpoint, tmp_path, incremental=True)
    before = (tmp_path / "_manifest.json").read_bytes()
    endpoint.add(*(conversion(n) for n in range(1001, 3001)))
    with pytest.raises(OSError, match=r"File too large: '.*/\.part\.tmp'"):
        export(endpoint, FullDisk(tmp_path), incremental=True, rows_per_file=500)
    assert (tmp_path / "_manifest.json").read_bytes() == before
    assert export(endpoint, tmp_path, incremental=True, rows_per_file=500).rows == 2000
    assert sorted(ids(tmp_path)) == endpoint.ids


def test_permission_denied_is_named():
    with pytest.raises(PermissionError, match="/sys/exports"):
        export(endpoint_of(1), LocalFolder(Path("/sys/exports")))


def test_missing_bucket_is_named_before_anything_is_read(bucket):
    place = bucket.with_segments("s3://no-such-bucket/exports")
    endpoint = endpoint_of(1)
    with pytest.raises(OSError, match=r"cannot write no-such-bucket/exports/\.probe: .*bucket does not exist"):
        export(endpoint, place)
    assert endpoint.requests == []


class TestGenerations:
    def test_parts_of_the_last_export_stay_for_its_readers_and_older_ones_go(self, place):
        generations = []
        for rows in (300, 600, 900):
            export(endpoint_of(rows), place, rows_per_file=250)
            generations.append({part["name"] for part in manifest(place)["parts"]})
        assert set(names(place)) == {"_manifest.json"} | generations[1] | generations[2]

    def test_orphaned_files_are_removed_and_other_files_stay(self, place):
        for name in ("part-00007-0123456789abcdef.jsonl", ".part.tmp", "part-1.jsonl", "notes.txt", ".other.tmp"):
            (place / name).write_text("x")
        export(Endpoint(), place)
        assert names(place) == [".other.tmp", "_manifest.json", "notes.txt", "part-1.jsonl"]


class TestIncremental:
    def test_only_new_conversions_are_exported(self, place):
        endpoint = endpoint_of(1000)
        export(endpoint, place, incremental=True)
        endpoint.add(*(conversion(n) for n in range(1001, 1011)))
        summary = export(endpoint, place, incremental=True)
        assert (summary.rows, summary.min_id, summary.max_id) == (10, 1001, 1010)
        assert summary.api_calls <= 3
        assert sorted(ids(place)) == endpoint.ids
        assert [part["rows"] for part in manifest(place)["parts"]] == [1000, 10]

    def test_nothing_new(self, place):
        endpoint = endpoint_of(1000)
        export(endpoint, place, incremental=True)
        before = (place / "_manifest.json").read_bytes()
        summary = export(endpoint, place, incremental=True)
        assert (summary.rows, summary.min_id, summary.max_id, summary.bytes) == (0, None, None, 0)
        assert (place / "_manifest.json").read_bytes() == before

    def test_an_id_that_becomes_visible_late_is_exported(self, place):
        endpoint = endpoint_of(1000)
        late = [endpoint.rows.pop(n) for n in (801, 950, 999)]
        export(endpoint, place, incremental=True)
        endpoint.add(*late)
        assert export(endpoint, place, incremental=True).rows == 3
        assert sorted(ids(place)) == endpoint.ids

    def test_a_failed_run_does_not_move_the_watermark(self, place):
        endpoint = endpoint_of(1000)
        export(endpoint, place, incremental=True)
        endpoint.add(*(conversion(n) for n in range(1001, 3001)))
        endpoint.on_request = failing_after(len(endpoint.requests) + 5)
        with pytest.raises(UnavailableError):
            export(endpoint, place, incremental=True)
        endpoint.on_request = lambda sent: None
        assert export(endpoint, place, incremental=True).rows == 2000
        assert sorted(ids(place)) == endpoint.ids

    def test_full_starts_over(self, place):
        endpoint = endpoint_of(500)
        export(endpoint, place, incremental=True)
        endpoint.add(conversion(501))
        assert export(endpoint, place, incremental=True, full=True).rows == 501
        assert [part["rows"] for part in manifest(place)["parts"]] == [501]

    def test_full_without_incremental_is_refused(self):
        with pytest.raises(InvalidRequestError, match="full=True requires incremental=True"):
            FolderOptions(full=True)

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            (
                {"chosen": selection(creator_id=2)},
                r"filters is \{'creator_id': 2\}, but the folder was written with \{\}\. Use another folder",
            ),
            ({"file_format": FileFormat(name="csv")}, "file_format is 'csv', but the folder was written with 'jsonl'"),
            (
                {"file_format": FileFormat(compression="gzip")},
                "compression is 'gzip', but the folder was written with None",
            ),
            ({"config": {"account": "other"}}, "account is 'other', but the folder was written with 'acme'"),
            (
                {"config": {"base_url": "https://b.example"}},
                "host is 'https://b.example', but the folder was written with",
            ),
        ],
    )
    def test_changed_settings_are_refused(self, place, changed, complaint):
        endpoint = endpoint_of(10)
        export(endpoint, place, incremental=True)
        requests = len(endpoint.requests)
        with pytest.raises(InvalidRequestError, match=complaint):
            export(endpoint, place, incremental=True, **changed)
        assert len(endpoint.requests) == requests
        export(endpoint, place, incremental=True, full=True, **changed)

    def test_two_runs_at_once_on_a_disk(self, tmp_path):
        endpoint = endpoint_of(10)
        message = (
            f"another run is writing to {tmp_path} (run 1, process {os.getpid()} on {socket.gethostname()}). Let one"
        )
        with LocalFolder(tmp_path).locked("run 1"), pytest.raises(ConcurrentRunError, match=re.escape(message)):
            export(endpoint, tmp_path, incremental=True)

    def test_two_runs_at_once_in_an_object_store(self, bucket):
        place = bucket / "exports"
        endpoint = endpoint_of(100)
        export(endpoint, place, incremental=True)
        endpoint.add(conversion(101))
        endpoint.on_request = lambda sent: _publish_meanwhile(place) if sent.number == 2 else None
        with pytest.raises(ConcurrentRunError, match="another run has published"):
            export(endpoint, place, incremental=True)
        assert len(ids(place)) == 300


def _publish_meanwhile(place):
    export(endpoint_of(300), place)


class TestResume:
    def interrupted(self, folder, rows=2000, requests=7, **options):
        endpoint = endpoint_of(rows, on_request=failing_after(requests))
        with pytest.raises(UnavailableError):
            export(endpoint, folder, rows_per_file=250, **options)
        endpoint.on_request = lambda sent: None
        endpoint.requests.clear()
        return endpoint

    @pytest.mark.parametrize("incremental", [False, True])
    def test_same_data_as_an_undisturbed_run(self, place, incremental):
        endpoint = self.interrupted(place / "a", incremental=incremental)
        summary = export(endpoint, place / "a", rows_per_file=250, incremental=incremental)
        # 1,250 rows were safe: the head is looked at, and then pages from the 7th on are read.
        assert len(endpoint.requests) == 2 + 4
        export(endpoint, place / "b", rows_per_file=250, incremental=incremental)
        one, other = manifest(place / "a"), manifest(place / "b")
        for found in (one, other):
            for volatile in ("started", "finished", "requests"):
                del found[volatile]
        assert one == other
        assert ids(place / "a") == endpoint.ids[::-1]
        assert summary.rows == 2000
        assert "_checkpoint.json" not in names(place / "a")

    def test_conversions_made_between_two_tries_are_exported(self, place):
        endpoint = self.interrupted(place)
        late = endpoint.rows.pop(1900)
        endpoint.add(*(conversion(n) for n in range(2001, 2101)))
        export(endpoint, place, rows_per_file=250)
        assert sorted(ids(place)) == sorted([*endpoint.ids, 1900])
        endpoint.add(late, conversion(2101))
        export(endpoint, place, incremental=True, full=True)
        assert sorted(ids(place)) == endpoint.ids

    def test_an_id_that_becomes_visible_late_below_the_checkpoint_is_exported_once(self, tmp_path):
        endpoint = endpoint_of(2000)
        late = endpoint.rows.pop(1850)

        class SlowFolder(KilledFolder):
            """Is killed after two parts of the first page, when the walk has read three pages ahead."""

            def publish(self, draft, name):
                while len(endpoint.requests) < 3:
                    time.sleep(0.001)
                time.sleep(0.02)
                super().publish(draft, name)

        with pytest.raises(Killed):
            export(endpoint, SlowFolder(tmp_path, write=5), rows_per_file=50)
        checkpoint = json.loads((tmp_path / "_checkpoint.json").read_bytes())
        assert checkpoint["window"]["low_watermark"] < late["id"] < checkpoint["last_id"]
        endpoint.add(late)
        export(endpoint, tmp_path, rows_per_file=50)
        assert sorted(ids(tmp_path)) == endpoint.ids

    @pytest.mark.parametrize("stale", ["refused", "first page", "empty"])
    def test_stale_cursor_is_no_error(self, place, caplog, stale):
        caplog.set_level("INFO")
        endpoint = self.interrupted(place)
        saved = unquote(json.loads((place / "_checkpoint.json").read_bytes())["cursor"])

        def answer(sent):
            if sent.parameters.get("cursor") != saved or sent.number > 3:
                return None
            if stale == "refused":
                return response(400, {"errors": [{"error": {"code": "invalid_param", "message": "m"}, "meta": {}}]})
            return response(200, page()) if stale == "empty" else endpoint.page({"per_page": "200"})

        endpoint.on_request = answer
        export(endpoint, place, rows_per_file=250)
        assert "Starting at the newest conversion, since" in caplog.text
        assert ids(place) == endpoint.ids[::-1]

    def test_last_row_deleted_meanwhile(self, place):
        endpoint = self.interrupted(place)
        last = json.loads((place / "_checkpoint.json").read_bytes())["last_id"]
        del endpoint.rows[last]
        export(endpoint, place, rows_per_file=250)
        assert ids(place) == sorted([*endpoint.ids, last], reverse=True)

    def test_checkpoint_of_long_ago_is_not_taken(self, tmp_path):
        endpoint = self.interrupted(tmp_path)
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=25)):
            assert export(endpoint, tmp_path, rows_per_file=250).api_calls == 10

    @pytest.mark.parametrize("change", ["settings", "manifest", "part", "bytes"])
    def test_checkpoint_of_something_else_is_not_taken(self, place, change):
        endpoint = self.interrupted(place)
        options = {}
        if change == "settings":
            options = {"file_format": FileFormat(name="csv")}
        elif change == "manifest":
            export(Endpoint(), place / "x")
            (place / "_manifest.json").write_bytes((place / "x" / "_manifest.json").read_bytes())
        else:
            part = next(path for path in place.iterdir() if path.name.startswith("part-00001"))
            data = part.read_bytes()
            part.unlink()
            if change == "bytes":
                part.write_bytes(data[:-4096] + bytes(4096))  # as after a power cut
        summary = export(endpoint, place, rows_per_file=250, **options)
        assert summary.api_calls == 10
        assert ids(place) == endpoint.ids[::-1]
        assert "_checkpoint.json" not in names(place)
