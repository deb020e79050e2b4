from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.bulk.inputs import read_leads, rows_of_file
from airflow_provider_leadconv.bulk.split import write_chunks
from tests.support.exports import store

LEADS = [ConversionRequest(number, owner_id=number + 100, create_deal=number % 2 == 0) for number in range(1, 8)]


def split(place, leads=LEADS, chunk_size=3, max_chunks=1024):
    return write_chunks(leads, store(place), chunk_size=chunk_size, max_chunks=max_chunks)


def read(place, name):
    with (place / name).open("rb") as file:
        return read_leads(rows_of_file(name, file))


def test_the_chunks_hold_the_leads_in_order(place):
    names = split(place)
    assert names == ["chunk-0000.jsonl", "chunk-0001.jsonl", "chunk-0002.jsonl"]
    assert [read(place, name) for name in names] == [LEADS[:3], LEADS[3:6], LEADS[6:]]


@pytest.mark.parametrize(("chunk_size", "max_chunks", "sizes"), [(1, 7, [1] * 7), (1, 6, [2, 2, 2, 1]), (3, 1, [7])])
def test_no_more_chunks_than_airflow_maps_over(tmp_path, chunk_size, max_chunks, sizes):
    names = split(tmp_path, chunk_size=chunk_size, max_chunks=max_chunks)
    assert [len(read(tmp_path, name)) for name in names] == sizes


def test_no_leads_are_no_chunks(place):
    assert split(place, []) == []


def test_a_retry_leaves_the_chunks_as_they_are(place):
    names = split(place)
    before = [(place / name).stat() for name in names]
    assert split(place) == names
    assert [(place / name).stat() for name in names] == before


def test_a_killed_try_is_gone_on_with(place):
    names = split(place)
    (place / names[1]).unlink()
    assert split(place) == names
    assert read(place, names[1]) == LEADS[3:6]


def test_a_chunk_that_a_task_may_be_reading_is_not_changed(place):
    names = split(place)
    with pytest.raises(InvalidRequestError, match=r"chunk-0001.jsonl .* other leads: put {{ run_id }} into"):
        split(place, [*LEADS[:3], *reversed(LEADS[3:])])
    assert read(place, names[1]) == LEADS[3:6]


@pytest.mark.parametrize("fewer", [0, 3, 6])
def test_a_chunk_that_fewer_leads_do_not_have_is_named(place, fewer):
    names = split(place)
    with pytest.raises(InvalidRequestError, match=f"{names[fewer // 3]} already exists with other leads"):
        split(place, LEADS[:fewer])


def test_other_files_in_the_folder_of_the_chunks_are_ignored(place):
    (place / "chunks.jsonl").write_text("x")
    assert len(split(place)) == 3


def test_what_is_blank_takes_the_defaults_of_the_task(tmp_path):
    (name,) = split(tmp_path, [ConversionRequest(1)])
    assert json.loads((tmp_path / name).read_text()) == {"lead_id": 1, "owner_id": None, "create_deal": None}
    with (tmp_path / name).open("rb") as file:
        leads = read_leads(rows_of_file(name, file), owner_id=5, create_deal=False)
    assert leads == [ConversionRequest(1, 5, False)]
