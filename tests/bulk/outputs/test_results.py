from __future__ import annotations

import fcntl
import json

import pytest

from airflow_provider_leadconv.api.exceptions import FieldError, InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus, LeadConversion
from airflow_provider_leadconv.bulk.ledger import ResumeState
from airflow_provider_leadconv.bulk.outputs.journal import LocalJournal
from airflow_provider_leadconv.bulk.outputs.results import Results
from airflow_provider_leadconv.storage.base import ConcurrentRunError
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.storage import full_disk

LEADS = [ConversionRequest(3, 5, False), ConversionRequest(1), ConversionRequest(2)]
REFUSED = InvalidRequestError(
    "the API answered 422",
    status_code=422,
    code="incorrect_value",
    field_errors=(FieldError(code="incorrect_value", field="/data/owner_id"),),
    request_id="abc",
)


def converted(lead_id, status=ConversionStatus.CONVERTED):
    conversion = LeadConversion(id=100 + lead_id, lead_id=lead_id, deal_id=7, created_at_raw="2026-11-23T00:00:00Z")
    return ConversionResult(lead_id=lead_id, status=status, conversion=conversion)


def unconverted(lead_id, status=ConversionStatus.FAILED, error=REFUSED):
    return ConversionResult(lead_id=lead_id, status=status, error=error)


@pytest.fixture
def open_results(tmp_path):
    opened = []

    def open_(leads=LEADS, run="run"):
        for results in opened:
            results.close()
        journal = LocalJournal(tmp_path / "r.jsonl.journal")
        opened.append(Results(LocalFolder(tmp_path), "r.jsonl", journal, run=run, leads=leads))
        return opened[-1]

    return open_


def published(tmp_path):
    return [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]


def test_a_line_for_each_lead_in_input_order(open_results, tmp_path):
    results = open_results()
    results.note_precheck(99)
    results.add(converted(1, ConversionStatus.EXISTING))
    results.add(unconverted(3))
    assert not (tmp_path / "r.jsonl").exists()
    results.add(converted(2))
    results.publish()
    conversion = {"organization_id": None, "deal_id": 7, "creator_id": None, "created_at": "2026-11-23T00:00:00Z"}
    run = {"run": "run", "start_watermark": 99}
    error = {
        "http_status": 422,
        "code": "incorrect_value",
        "field": "/data/owner_id",
        "text": "the API answered 422 (request id abc)",
    }
    settings = {"owner_id": None, "create_deal": None}
    nothing = {"conversion_id": None, "individual_id": None, **dict.fromkeys(conversion), "error": error}
    assert published(tmp_path) == [
        {"lead_id": 3, "owner_id": 5, "create_deal": False, "status": "failed", **nothing, **run},
        *(
            {"lead_id": lead, **settings, "status": word, "conversion_id": 100 + lead, "individual_id": None}
            | conversion
            | {"error": None, **run}
            for lead, word in ((1, "existing"), (2, "converted"))
        ),
    ]
    assert list(published(tmp_path)[0]) == list(published(tmp_path)[1])
    results.close()
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]


def test_a_killed_process_leaves_its_lines(open_results, tmp_path):
    results = open_results()
    results.note_precheck(99)
    results.add(converted(1))
    results.add(unconverted(2))
    journal = [json.loads(line) for line in (tmp_path / "r.jsonl.journal").read_text().splitlines()]
    assert [line["record"] for line in journal] == ["precheck", "result", "result"]
    assert [line["line"]["status"] for line in journal[1:]] == ["converted", "failed"]

    results = open_results()
    assert results.unfinished
    assert results.resume_state == ResumeState(start_watermark=99, prechecked=True, known={1: 101}, unconverted={2})
    results.add(converted(3))
    results.add(unconverted(2))
    results.publish()
    assert {line["lead_id"]: line["status"] for line in published(tmp_path)} == {
        3: "converted",
        1: "converted",
        2: "failed",
    }


def test_a_published_file_is_gone_on_from(open_results, tmp_path):
    results = open_results()
    results.note_precheck(99)
    results.add(converted(1))
    results.add(unconverted(2, ConversionStatus.UNKNOWN))
    results.add(unconverted(3, ConversionStatus.NOT_ATTEMPTED, None))
    results.publish()
    results = open_results()
    assert not results.unfinished
    # The pre-check has to be made again, but what was converted above the watermark was converted by this run,
    # except for leads that were reported as unconverted when it ended.
    assert results.resume_state == ResumeState(start_watermark=99, prechecked=False, known={1: 101}, unconverted={3})
    assert results.kept == {ConversionStatus.CONVERTED: 1}


def test_unconverted_leads_are_those_of_the_last_process(open_results):
    results = open_results()
    results.note_precheck(99)
    results.add(unconverted(2))
    results = open_results()
    results.note_precheck(99)
    assert open_results().resume_state.unconverted == {2}
    results = open_results()
    results.note_sending()  # and then lead 2 is sent again, and the process killed
    assert open_results().resume_state == ResumeState(start_watermark=99, prechecked=True)


def test_the_start_watermark_is_kept_before_the_precheck_is_complete(open_results):
    results = open_results()
    results.note_start_watermark(99)
    results.note_sending()
    results.add(unconverted(2))
    assert open_results().resume_state == ResumeState(start_watermark=99, prechecked=False, unconverted={2})


def test_start_watermark_0_of_an_empty_changefeed_is_kept(open_results):
    open_results().note_precheck(0)
    assert open_results().resume_state == ResumeState(start_watermark=0, prechecked=True)


def test_another_batch_is_not_prechecked(open_results):
    results = open_results()
    results.note_precheck(99)
    results.add(converted(1))
    other = [*LEADS, ConversionRequest(9)]
    assert open_results(other).resume_state == ResumeState(start_watermark=99, prechecked=False, known={1: 101})
    assert open_results(LEADS[::-1]).resume_state.prechecked


def test_conversions_of_leads_no_longer_in_the_batch_stay_on_record(open_results, tmp_path):
    results = open_results()
    results.note_precheck(99)
    results.add(converted(1))
    results.add(unconverted(2))
    results = open_results([ConversionRequest(3)])
    assert results.kept == {}
    results.add(converted(3))
    results.publish()
    assert [(line["lead_id"], line["status"]) for line in published(tmp_path)] == [(3, "converted"), (1, "converted")]


@pytest.mark.parametrize("unpublished", [False, True])
def test_another_runs_file_is_refused(open_results, tmp_path, unpublished):
    results = open_results()
    results.note_precheck(99)
    for lead in (1, 2, 3):
        results.add(converted(lead))
    if not unpublished:
        results.publish()
    results.close()
    names = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InvalidRequestError, match=r"holds results of another run \(run\); put {{ run_id }} into"):
        open_results(run="another")
    assert {path.name for path in tmp_path.iterdir()} == names
    open_results()


@pytest.mark.parametrize("content", ["lead_id\n1\n", "{}\n", '{"lead_id": 1}\n', "[]\n", "\0", "\n"])
def test_a_file_that_holds_no_results(open_results, tmp_path, content):
    (tmp_path / "r.jsonl").write_text(content)
    with pytest.raises(InvalidRequestError, match=r"r\.jsonl exists and is no results file: line 1: "):
        open_results()
    assert (tmp_path / "r.jsonl").read_text() == content


@pytest.fixture
def open_on_another_host(tmp_path, monkeypatch):
    def open_(run="run"):
        # No lock is shared between the two hosts.
        monkeypatch.setattr(fcntl, "flock", lambda file, operation: None)
        journal = LocalJournal(tmp_path / "r.jsonl.journal")
        return Results(LocalFolder(tmp_path), "r.jsonl", journal, run=run, leads=LEADS)

    return open_


def test_who_lost_the_lease_leaves_all_files_to_the_other(open_results, open_on_another_host, tmp_path):
    results = open_results()
    results.note_precheck(99)
    other = open_on_another_host()
    other.note_precheck(99)
    other.note_sending()
    with pytest.raises(ConcurrentRunError, match=r"another process continues this run \(run run, .*r\.jsonl\.claim"):
        results.note_sending()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for act in (lambda: results.add(converted(1)), results.note_resolved, results.publish):
        with pytest.raises(ConcurrentRunError):
            act()
    results.close()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    for lead in (1, 2, 3):
        other.add(converted(lead))
    other.publish()
    other.close()
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]


def test_another_run_takes_no_claim_away(open_results, open_on_another_host):
    results = open_results()
    with pytest.raises(InvalidRequestError, match=r"holds results of another run \(run\)"):
        open_on_another_host(run="another")
    results.note_sending()


def test_a_process_whose_disk_was_full_leaves_no_claim(open_results, tmp_path):
    results = open_results()
    with full_disk():
        with pytest.raises(OSError, match="File too large"):
            results.note_sending()
        with pytest.raises(OSError, match="File too large"):
            results.close()
    assert list(tmp_path.glob("*.claim")) == []


def test_a_process_that_ended_in_order_leaves_no_claim(open_results):
    open_results().note_sending()
    assert open_results().lease.earlier is None


@pytest.mark.parametrize("line", [b"{}", b"[]", b"5", b'{"record":"other"}', b'{"record":"result","line":{}}'])
def test_a_record_of_something_else_is_named(open_results, tmp_path, line):
    results = open_results()
    results.note_precheck(99)
    results.close()
    with (tmp_path / "r.jsonl.journal").open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(InvalidRequestError, match=r"r\.jsonl\.journal is no journal of a bulk conversion: record 2: "):
        open_results()


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\n\n", b"\0\n\0\n", b'{"record":"resol', b"\xff\n"])
def test_a_journal_torn_by_a_power_cut_is_gone_on_from(open_results, tmp_path, tail):
    results = open_results()
    results.note_precheck(99)
    results.add(converted(1))
    results.note_sending()
    results.close()
    with (tmp_path / "r.jsonl.journal").open("ab") as file:
        file.write(tail)
    results = open_results()
    assert results.has_unresolved_requests
    assert results.resume_state == ResumeState(start_watermark=99, prechecked=True, known={1: 101})
    results.note_resolved()
    assert not open_results().has_unresolved_requests


def test_a_dry_run_has_a_word_of_its_own(open_results, tmp_path):
    results = open_results([ConversionRequest(1)])
    results.add(unconverted(1, ConversionStatus.NOT_ATTEMPTED, None), "would_convert")
    results.publish()
    assert published(tmp_path)[0]["status"] == "would_convert"
    assert open_results([ConversionRequest(1)]).resume_state == ResumeState()
