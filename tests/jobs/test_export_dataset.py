from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
import time_machine

from airflow_provider_leadconv.api.errors import InvalidRequestError, UnavailableError
from airflow_provider_leadconv.jobs.dataset import DatasetOptions
from airflow_provider_leadconv.jobs.storage import ExportConflictError, LocalFolder
from airflow_provider_leadconv.jobs.verification import DamagedExportError
from airflow_provider_leadconv.jobs.writers import FileFormat
from jobs.account import EPOCH, Account, answered, conversion, selection
from jobs.folders import export, ids, manifest, names


def account_of(rows, **options):
    return Account((conversion(n) for n in range(1, rows + 1)), **options)


def failing_after(requests):
    return lambda number: answered(503, {}) if number > requests else None


FORMATS = [
    FileFormat(file_format="jsonl"),
    FileFormat(file_format="jsonl", compression="gzip"),
    FileFormat(file_format="jsonl", compression="zstd"),
    FileFormat(file_format="csv"),
    FileFormat(file_format="csv", compression="gzip"),
    FileFormat(file_format="csv", compression="zstd"),
    FileFormat(file_format="parquet"),
]


@pytest.mark.parametrize("how", FORMATS, ids=lambda how: how.suffix)
def test_parts_and_manifest(place, how):
    account = account_of(1050)
    summary = export(account, place, how=how, rows_per_file=250)
    assert ids(place) == account.ids[::-1]
    found = manifest(place)
    assert [part["rows"] for part in found["parts"]] == [250, 250, 250, 250, 50]
    assert all(part["name"].endswith(how.suffix) for part in found["parts"])
    assert found["settings"] == {
        "account": "acme",
        "host": "https://api.getbase.com",
        "file_format": how.file_format,
        "compression": how.compression,
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
    summary = export(Account(), place)
    assert ids(place) == []
    assert (summary.rows, summary.min_id, summary.bytes) == (0, None, 0)


def test_time_window_into_a_folder(place):
    window = {"created_from": EPOCH + timedelta(minutes=300), "created_until": EPOCH + timedelta(minutes=500)}
    export(account_of(1000), place, selection(**window), rows_per_file=150)
    assert ids(place) == list(range(499, 299, -1))


def test_failed_run_changes_nothing_and_a_rerun_leaves_no_litter(place):
    account = account_of(1000)
    export(account, place, rows_per_file=300)
    before = {name: (place / name).read_bytes() for name in names(place)}
    account.add(*(conversion(n) for n in range(1001, 2001)))
    account.before = failing_after(len(account.queries) + 7)
    with pytest.raises(UnavailableError):
        export(account, place, rows_per_file=300)
    assert before.items() <= {name: (place / name).read_bytes() for name in names(place)}.items()
    account.before = lambda number: None
    export(account, place, rows_per_file=250)
    assert ids(place) == account.ids[::-1]


class FullDisk(LocalFolder):
    """A disk with room for two drafts."""

    room = 2

    def draft(self, name):
        self.room -= 1
        return super().draft(name) if self.room >= 0 else Path("/dev/full").open("wb", buffering=0)


def test_full_disk_is_named_and_leaves_the_last_export(tmp_path):
    account = account_of(1000)
    export(account, tmp_path, incremental=True)
    before = (tmp_path / "_manifest.json").read_bytes()
    account.add(*(conversion(n) for n in range(1001, 3001)))
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        export(account, FullDisk(tmp_path), incremental=True, rows_per_file=500)
    assert (tmp_path / "_manifest.json").read_bytes() == before
    assert export(account, tmp_path, incremental=True, rows_per_file=500).rows == 2000
    assert sorted(ids(tmp_path)) == account.ids


def test_permission_denied_is_named():
    with pytest.raises(PermissionError, match="/sys/exports"):
        export(account_of(1), LocalFolder(Path("/sys/exports")))


def test_missing_bucket_is_named_before_anything_is_read(bucket):
    place = bucket.with_segments("s3://no-such-bucket/exports")
    account = account_of(1)
    with pytest.raises(OSError, match=r"cannot write no-such-bucket/exports/\.probe: .*bucket does not exist"):
        export(account, place)
    assert account.queries == []


class TestGenerations:
    def test_parts_of_the_last_export_stay_for_its_readers_and_older_ones_go(self, place):
        generations = []
        for rows in (300, 600, 900):
            export(account_of(rows), place, rows_per_file=250)
            generations.append({part["name"] for part in manifest(place)["parts"]})
        assert set(names(place)) == {"_manifest.json"} | generations[1] | generations[2]

    def test_litter_goes_and_what_is_not_ours_stays(self, place):
        for name in ("part-00007-0123456789abcdef.jsonl", ".part.tmp", "part-1.jsonl", "notes.txt", ".other.tmp"):
            (place / name).write_text("x")
        export(Account(), place)
        assert names(place) == [".other.tmp", "_manifest.json", "notes.txt", "part-1.jsonl"]


class TestIncremental:
    def test_only_what_is_new(self, place):
        account = account_of(1000)
        export(account, place, incremental=True)
        account.add(*(conversion(n) for n in range(1001, 1011)))
        summary = export(account, place, incremental=True)
        assert (summary.rows, summary.min_id, summary.max_id) == (10, 1001, 1010)
        assert summary.api_calls <= 3
        assert sorted(ids(place)) == account.ids
        assert [part["rows"] for part in manifest(place)["parts"]] == [1000, 10]

    def test_nothing_new(self, place):
        account = account_of(1000)
        export(account, place, incremental=True)
        before = (place / "_manifest.json").read_bytes()
        summary = export(account, place, incremental=True)
        assert (summary.rows, summary.min_id, summary.max_id, summary.bytes) == (0, None, None, 0)
        assert (place / "_manifest.json").read_bytes() == before

    def test_late_visible_id_below_the_mark(self, place):
        account = account_of(1000)
        late = [account.rows.pop(n) for n in (801, 950, 999)]
        export(account, place, incremental=True)
        account.add(*late)
        assert export(account, place, incremental=True).rows == 3
        assert sorted(ids(place)) == account.ids

    def test_mark_does_not_move_with_a_failed_run(self, place):
        account = account_of(1000)
        export(account, place, incremental=True)
        account.add(*(conversion(n) for n in range(1001, 3001)))
        account.before = failing_after(len(account.queries) + 5)
        with pytest.raises(UnavailableError):
            export(account, place, incremental=True)
        account.before = lambda number: None
        assert export(account, place, incremental=True).rows == 2000
        assert sorted(ids(place)) == account.ids

    def test_full_starts_over(self, place):
        account = account_of(500)
        export(account, place, incremental=True)
        account.add(conversion(501))
        assert export(account, place, incremental=True, full=True).rows == 501
        assert [part["rows"] for part in manifest(place)["parts"]] == [501]

    def test_full_without_incremental_is_refused(self):
        with pytest.raises(InvalidRequestError, match="full=True starts an incremental export over"):
            DatasetOptions(full=True)

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"chosen": selection(creator_id=2)}, r"filters is \{'creator_id': 2\} and was \{\}"),
            ({"how": FileFormat(file_format="csv")}, "file_format is 'csv' and was 'jsonl'"),
            ({"how": FileFormat(compression="gzip")}, "compression is 'gzip' and was None"),
            ({"config": {"account": "other"}}, "account is 'other' and was 'acme'"),
            ({"config": {"base_url": "https://b.example"}}, "host is 'https://b.example' and was"),
        ],
    )
    def test_changed_settings_are_refused(self, place, changed, complaint):
        account = account_of(10)
        export(account, place, incremental=True)
        requests = len(account.queries)
        with pytest.raises(InvalidRequestError, match=complaint):
            export(account, place, incremental=True, **changed)
        assert len(account.queries) == requests
        export(account, place, incremental=True, full=True, **changed)

    def test_unreadable_manifest_is_refused(self, place):
        (place / "_manifest.json").write_text("{}")
        with pytest.raises(InvalidRequestError, match=r"_manifest\.json cannot be read"):
            export(account_of(1), place, incremental=True)

    def test_two_runs_at_once_on_a_disk(self, tmp_path):
        account = account_of(10)
        with LocalFolder(tmp_path).locked(), pytest.raises(ExportConflictError, match="another run is writing"):
            export(account, tmp_path, incremental=True)

    def test_two_runs_at_once_in_an_object_store(self, bucket):
        place = bucket / "exports"
        account = account_of(100)
        export(account, place, incremental=True)
        account.add(conversion(101))
        account.before = lambda number: _publish_meanwhile(place) if number == 2 else None
        with pytest.raises(ExportConflictError, match="another run has published"):
            export(account, place, incremental=True)
        assert len(ids(place)) == 300


def _publish_meanwhile(place):
    export(account_of(300), place)


class TestResume:
    def interrupted(self, folder, rows=2000, requests=7, **options):
        account = account_of(rows, before=failing_after(requests))
        with pytest.raises(UnavailableError):
            export(account, folder, rows_per_file=250, **options)
        account.before = lambda number: None
        account.queries.clear()
        return account

    @pytest.mark.parametrize("incremental", [False, True])
    def test_same_data_as_an_undisturbed_run(self, place, incremental):
        account = self.interrupted(place / "a", incremental=incremental)
        summary = export(account, place / "a", rows_per_file=250, incremental=incremental)
        # 1,250 rows were safe: the head is looked at, and then pages from the 7th on are read.
        assert len(account.queries) == 2 + 4
        export(account, place / "b", rows_per_file=250, incremental=incremental)
        one, other = manifest(place / "a"), manifest(place / "b")
        for found in (one, other):
            for volatile in ("started", "finished", "requests"):
                del found[volatile]
        assert one == other
        assert ids(place / "a") == account.ids[::-1]
        assert summary.rows == 2000
        assert "_checkpoint.json" not in names(place / "a")

    def test_what_appears_meanwhile_is_exported_too(self, place):
        account = self.interrupted(place)
        late = account.rows.pop(1900)
        account.add(*(conversion(n) for n in range(2001, 2101)))
        export(account, place, rows_per_file=250)
        assert sorted(ids(place)) == sorted([*account.ids, 1900])
        account.add(late, conversion(2101))
        export(account, place, incremental=True, full=True)
        assert sorted(ids(place)) == account.ids

    @pytest.mark.parametrize("stale", ["refused", "first page", "empty"])
    def test_stale_cursor_is_no_error(self, place, caplog, stale):
        caplog.set_level("INFO")
        account = self.interrupted(place)
        saved = unquote(json.loads((place / "_checkpoint.json").read_bytes())["cursor"])

        def answer(number):
            if account.queries[-1].get("cursor") != saved or number > 3:
                return None
            if stale == "refused":
                return answered(400, {"errors": [{"error": {"code": "invalid_param", "message": "m"}, "meta": {}}]})
            if stale == "empty":
                return answered(200, {"items": [], "meta": {"count": 0, "links": {}}})
            del account.queries[-1]["cursor"]
            return None

        account.before = answer
        export(account, place, rows_per_file=250)
        assert "so the walk starts at the top" in caplog.text
        assert ids(place) == account.ids[::-1]

    def test_last_row_deleted_meanwhile(self, place):
        account = self.interrupted(place)
        last = json.loads((place / "_checkpoint.json").read_bytes())["last_id"]
        del account.rows[last]
        export(account, place, rows_per_file=250)
        assert ids(place) == sorted([*account.ids, last], reverse=True)

    def test_checkpoint_of_long_ago_is_not_taken(self, tmp_path):
        account = self.interrupted(tmp_path)
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=25)):
            assert export(account, tmp_path, rows_per_file=250).api_calls == 10

    @pytest.mark.parametrize("change", ["settings", "manifest", "part"])
    def test_checkpoint_of_something_else_is_not_taken(self, place, change):
        account = self.interrupted(place)
        options = {}
        if change == "settings":
            options = {"how": FileFormat(file_format="csv")}
        elif change == "manifest":
            export(Account(), place / "x")
            (place / "_manifest.json").write_bytes((place / "x" / "_manifest.json").read_bytes())
        else:
            next(path for path in place.iterdir() if path.name.startswith("part-00001")).unlink()
        summary = export(account, place, rows_per_file=250, **options)
        assert summary.api_calls == 10
        assert ids(place) == account.ids[::-1]
        assert "_checkpoint.json" not in names(place)


class TestVerifyComplete:
    @pytest.mark.parametrize("how", FORMATS, ids=lambda how: how.suffix)
    def test_missing_rows_are_added_and_vanished_ones_are_listed(self, place, how):
        account = account_of(1000)
        missed = account.rows.pop(500)

        def change(number):
            if number == 6:
                account.add(missed, conversion(1001))
                del account.rows[700], account.rows[1], account.rows[1000]

        account.before = change
        summary = export(account, place, how=how, rows_per_file=300, verify_complete=True)
        assert sorted(ids(place)) == list(range(1, 1002))
        found = manifest(place)["verification"]
        assert (found["listed"], found["added"], found["vanished"]) == (998, 2, [1000, 700, 1])
        assert found["statement"].startswith("A second walk over the whole listing saw 998 conversions.")
        assert summary.api_calls == 10

    def test_nothing_is_taken_twice_afterwards(self, place):
        account = account_of(1000, before=lambda number: account.add(conversion(1000 + number)))
        export(account, place, incremental=True, verify_complete=True)
        export(account, place, incremental=True)
        found = ids(place)
        assert len(found) == len(set(found))
        assert set(range(1, 1010)) <= set(found)

    def test_all_parts_of_an_incremental_folder_are_compared(self, place):
        account = account_of(1000)
        missed = account.rows.pop(3)
        for last in (1100, 1200):
            export(account, place, incremental=True)
            account.add(*(conversion(n) for n in range(last - 100, last)))
        account.add(missed)
        export(account, place, incremental=True, verify_complete=True)
        assert sorted(ids(place)) == account.ids
        assert manifest(place)["verification"]["added"] == 1

    def test_statement_says_what_was_left_out(self, tmp_path):
        export(account_of(10), tmp_path, selection(creator_id=2), verify_complete=True)
        assert "the listing, narrowed by the filters" in manifest(tmp_path)["verification"]["statement"]

    def test_changed_part_is_found(self, place):
        account = account_of(100)
        export(account, place, incremental=True)
        part = next(path for path in place.iterdir() if path.name.startswith("part-"))
        part.write_bytes(part.read_bytes()[:-10])
        with pytest.raises(DamagedExportError, match=f"{part.name} has changed"):
            export(account, place, incremental=True, verify_complete=True)
