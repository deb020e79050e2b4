from __future__ import annotations

import errno
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine

from airflow_provider_leadconv.api.errors import InvalidRequestError, InvalidResponseError, UnavailableError
from airflow_provider_leadconv.jobs.export import export_file
from airflow_provider_leadconv.jobs.reading import SLACK, as_time
from airflow_provider_leadconv.jobs.storage import LocalFolder
from airflow_provider_leadconv.jobs.writers import FileFormat
from jobs.account import EPOCH, Account, answered, conversion, selection
from jobs.folders import names, store

JSONL = FileFormat(file_format="jsonl")


def export(account, folder, chosen=None, **config):
    return export_file(account.client(**config), chosen or selection(), store(folder), "out.jsonl", JSONL)


def exported(folder):
    return [json.loads(line)["id"] for line in (folder / "out.jsonl").read_bytes().splitlines()]


def test_all_conversions_once_each(place):
    account = Account(conversion(n) for n in range(1, 1001))
    summary = export(account, place)
    assert exported(place) == account.ids[::-1]
    assert (summary.rows, summary.min_id, summary.max_id, summary.api_calls) == (1000, 1, 1000, 5)
    assert summary.bytes == (place / "out.jsonl").stat().st_size


def test_none(place):
    summary = export(Account(), place)
    assert exported(place) == []
    assert (summary.rows, summary.min_id, summary.max_id, summary.bytes) == (0, None, None, 0)


def test_filters(place):
    account = Account(conversion(n) for n in range(1, 501))
    export(account, place, selection(creator_id=2))
    assert exported(place) == [n for n in account.ids[::-1] if n % 2]


def test_ids_visible_at_the_start_and_no_older_ones_twice(place):
    def arrive(number):
        account.add(conversion(1000 + number))
        account.rows.pop(number, None)

    account = Account((conversion(n) for n in range(1, 1001)), before=arrive)
    export(account, place)
    ids = exported(place)
    assert len(set(ids)) == len(ids)
    assert set(range(6, 1001)) <= set(ids)


def test_failed_run_leaves_the_last_export(place):
    account = Account(conversion(n) for n in range(1, 1001))
    export(account, place)
    before = (place / "out.jsonl").read_bytes()
    account.add(conversion(2000))
    account.before = lambda number: answered(503, {}) if number > 7 else None
    with pytest.raises(UnavailableError):
        export(account, place)
    assert (place / "out.jsonl").read_bytes() == before
    assert names(place) == ["out.jsonl"]


def test_full_disk_is_named_and_leaves_the_last_export(tmp_path):
    account = Account(conversion(n) for n in range(1, 1001))
    export(account, tmp_path)
    with pytest.raises(OSError, match="No space left on device: '/dev/full'") as raised:
        export_file(account.client(), selection(), _FullDisk(tmp_path), "out.jsonl", JSONL)
    assert raised.value.errno == errno.ENOSPC
    assert len(exported(tmp_path)) == 1000


class _FullDisk(LocalFolder):
    def draft(self, name):
        return Path("/dev/full").open("wb", buffering=0)


def test_progress_is_logged_every_15_seconds(place, caplog):
    caplog.set_level("INFO", logger="airflow_provider_leadconv.jobs.reading")
    account = Account(conversion(n) for n in range(1, 10_001))

    def take_five_seconds(number):
        account.now += 5

    account.before = take_five_seconds
    export(account, place)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("jobs.reading")]
    assert len(lines) >= 50 * 5 // 15 - 1
    assert all(re.fullmatch(r"\d+ pages, \d+ rows \(\d+ rows/s\), down to id \d+", line) for line in lines)


WINDOW = {"created_from": EPOCH + timedelta(minutes=300), "created_until": EPOCH + timedelta(minutes=500)}


class TestTimeWindow:
    def test_half_open(self, place):
        export(Account(conversion(n) for n in range(1, 1001)), place, selection(**WINDOW))
        assert exported(place) == list(range(499, 299, -1))

    def test_stops_after_a_page_behind_the_slack(self, place):
        account = Account(conversion(n) for n in range(1, 5001))
        summary = export(account, place, selection(**WINDOW))
        # Rows down to minute 240, an hour before the start, are read; one more page is wholly behind.
        assert summary.api_calls == (5000 - 240) // 200 + 2

    @pytest.mark.parametrize("minutes", [-59, 59])
    def test_out_of_order_by_less_than_the_slack(self, place, minutes):
        account = Account(conversion(n) for n in range(1, 5001))
        stray = 300 + minutes
        account.add(conversion(stray, created_at=(EPOCH + timedelta(minutes=300)).isoformat()))
        assert timedelta(minutes=abs(minutes)) < SLACK
        export(account, place, selection(**WINDOW))
        assert stray in exported(place)

    def test_same_bytes_again(self, place):
        account = Account(conversion(n) for n in range(1, 1001))
        export(account, place, selection(**WINDOW))
        before = (place / "out.jsonl").read_bytes()
        account.add(*(conversion(n) for n in range(1001, 1500)))
        export(account, place, selection(**WINDOW))
        assert (place / "out.jsonl").read_bytes() == before

    def test_unreadable_time_is_named(self, place):
        account = Account([conversion(1), conversion(2, created_at="soon")])
        with pytest.raises(InvalidResponseError, match="conversion 2 has no readable created_at \\('soon'\\)"):
            export(account, place, selection(**WINDOW))
        assert not (place / "out.jsonl").exists()

    def test_empty_window_is_refused(self):
        with pytest.raises(InvalidRequestError, match="CronDataIntervalTimetable"):
            selection(created_from=EPOCH, created_until=EPOCH)

    def test_waits_until_the_window_is_over_and_visible(self, place):
        with time_machine.travel(EPOCH + timedelta(minutes=498), tick=False) as clock:
            account = Account(conversion(n) for n in range(1, 499))
            client = account.client()
            slept = []

            def sleep(seconds):
                account.now += seconds
                if not account.queries:
                    slept.append(seconds)
                    clock.shift(seconds)
                if len(slept) == 1:
                    account.add(conversion(499))

            client.sleep = sleep
            export_file(client, selection(**WINDOW), store(place), "out.jsonl", JSONL)
        assert sum(slept) == 7 * 60
        assert max(slept) < 15
        assert exported(place)[0] == 499

    def test_times_as_templates_render_them(self):
        expected = datetime(2026, 11, 23, tzinfo=UTC)
        for value in ("2026-11-23T00:00:00+00:00", "2026-11-23 01:00:00+01:00", "2026-11-23", expected):
            assert as_time(value, "created_from") == expected
        assert as_time(None, "created_from") is None
        for value in ("None", "yesterday", 5):
            with pytest.raises(InvalidRequestError, match="created_from must be a time such as"):
                as_time(value, "created_from")
