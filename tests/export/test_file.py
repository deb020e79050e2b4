from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
import time_machine

from airflow_provider_leadconv.api.exceptions import InvalidResponseError, UnavailableError
from airflow_provider_leadconv.export.file import export_file
from airflow_provider_leadconv.export.selection import SLACK
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.endpoint import EPOCH, Endpoint, conversion
from tests.support.exports import endpoint_of, failing_after, names, selection, store
from tests.support.storage import full_disk

JSONL = FileFormat(name="jsonl")


def export(endpoint, folder, chosen=None, **config):
    return export_file(endpoint.client(**config), chosen or selection(), store(folder), "out.jsonl", JSONL)


def exported(folder):
    return [json.loads(line)["id"] for line in (folder / "out.jsonl").read_bytes().splitlines()]


def test_all_conversions_once_each(place):
    endpoint = endpoint_of(1000)
    summary = export(endpoint, place)
    assert exported(place) == endpoint.ids[::-1]
    assert (summary.rows, summary.min_id, summary.max_id, summary.api_calls) == (1000, 1, 1000, 5)
    assert summary.bytes == (place / "out.jsonl").stat().st_size


def test_none(place):
    summary = export(Endpoint(), place)
    assert exported(place) == []
    assert (summary.rows, summary.min_id, summary.max_id, summary.bytes) == (0, None, None, 0)


def test_filters(place):
    endpoint = endpoint_of(500)
    export(endpoint, place, selection(creator_id=2))
    assert exported(place) == [n for n in endpoint.ids[::-1] if n % 2]


def test_ids_visible_at_the_start_and_no_older_ones_twice(place):
    def arrive(sent):
        endpoint.add(conversion(1000 + sent.number))
        endpoint.rows.pop(sent.number, None)

    endpoint = endpoint_of(1000, on_request=arrive)
    export(endpoint, place)
    ids = exported(place)
    assert len(set(ids)) == len(ids)
    assert set(range(6, 1001)) <= set(ids)


def test_failed_run_leaves_the_last_export(place):
    endpoint = endpoint_of(1000)
    export(endpoint, place)
    before = (place / "out.jsonl").read_bytes()
    endpoint.add(conversion(2000))
    endpoint.on_request = failing_after(7)
    with pytest.raises(UnavailableError):
        export(endpoint, place)
    assert (place / "out.jsonl").read_bytes() == before
    assert names(place) == ["out.jsonl"]


def test_full_disk_is_named_and_leaves_the_last_export(tmp_path):
    endpoint = endpoint_of(1000)
    export(endpoint, tmp_path)
    with full_disk(room=50_000), pytest.raises(OSError, match=r"File too large: '.*/\.out\.jsonl\.tmp'"):
        export_file(endpoint.client(), selection(), LocalFolder(tmp_path), "out.jsonl", JSONL)
    assert len(exported(tmp_path)) == 1000


def test_progress_is_logged_every_15_seconds(place, caplog):
    caplog.set_level("INFO", logger="airflow_provider_leadconv.export.pages")
    endpoint = endpoint_of(10_000)

    endpoint.on_request = lambda sent: endpoint.clock.sleep(5)
    export(endpoint, place)
    lines = [record.getMessage() for record in caplog.records if record.name.endswith("export.pages")]
    assert len(lines) >= 50 * 5 // 15 - 1
    assert all(re.fullmatch(r"[\d,]+ rows \([\d,]+ rows/s\) on \d+ pages, down to id \d+", line) for line in lines)


WINDOW = {"created_from": EPOCH + timedelta(minutes=300), "created_until": EPOCH + timedelta(minutes=500)}


class TestTimeWindow:
    def test_half_open(self, place):
        export(endpoint_of(1000), place, selection(**WINDOW))
        assert exported(place) == list(range(499, 299, -1))

    def test_stops_after_a_page_behind_the_slack(self, place):
        endpoint = endpoint_of(5000)
        summary = export(endpoint, place, selection(**WINDOW))
        # Rows down to minute 240, an hour before the start, are read; one more page is wholly behind.
        assert summary.api_calls == (5000 - 240) // 200 + 2

    @pytest.mark.parametrize("minutes", [-59, 59])
    def test_out_of_order_by_less_than_the_slack(self, place, minutes):
        endpoint = endpoint_of(5000)
        stray = 300 + minutes
        endpoint.add(conversion(stray, created_at=(EPOCH + timedelta(minutes=300)).isoformat()))
        assert timedelta(minutes=abs(minutes)) < SLACK
        export(endpoint, place, selection(**WINDOW))
        assert stray in exported(place)

    def test_same_bytes_again(self, place):
        endpoint = endpoint_of(1000)
        export(endpoint, place, selection(**WINDOW))
        before = (place / "out.jsonl").read_bytes()
        endpoint.add(*(conversion(n) for n in range(1001, 1500)))
        export(endpoint, place, selection(**WINDOW))
        assert (place / "out.jsonl").read_bytes() == before

    def test_unreadable_time_is_named(self, place):
        endpoint = Endpoint([conversion(1), conversion(2, created_at="soon")])
        with pytest.raises(InvalidResponseError, match="conversion 2 has no readable created_at \\('soon'\\)"):
            export(endpoint, place, selection(**WINDOW))
        assert not (place / "out.jsonl").exists()

    def test_waits_until_the_window_is_over_and_visible(self, place):
        with time_machine.travel(EPOCH + timedelta(minutes=498), tick=False) as clock:
            endpoint = endpoint_of(498)
            client = endpoint.client()
            slept = []

            def sleep(seconds):
                endpoint.clock.sleep(seconds)
                if not endpoint.requests:
                    slept.append(seconds)
                    clock.shift(seconds)
                if len(slept) == 1:
                    endpoint.add(conversion(499))

            client.sleep = sleep
            export_file(client, selection(**WINDOW), store(place), "out.jsonl", JSONL)
        assert sum(slept) == 7 * 60
        assert max(slept) < 15
        assert exported(place)[0] == 499
