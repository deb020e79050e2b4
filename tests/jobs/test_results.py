from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.api.errors import FieldError, InvalidRequestError
from airflow_provider_leadconv.api.records import ConversionOutcome, ConversionRequest, LeadConversion, Outcome
from airflow_provider_leadconv.jobs.journal import LocalJournal
from airflow_provider_leadconv.jobs.ledger import Before
from airflow_provider_leadconv.jobs.results import Results
from airflow_provider_leadconv.jobs.storage import LocalFolder

LEADS = [ConversionRequest(3, 5, False), ConversionRequest(1), ConversionRequest(2)]
REFUSED = InvalidRequestError(
    "the API answered 422",
    status=422,
    code="incorrect_value",
    field_errors=(FieldError(code="incorrect_value", field="/data/owner_id"),),
    request_id="abc",
)


def converted(lead_id, outcome=Outcome.CONVERTED):
    conversion = LeadConversion(id=100 + lead_id, lead_id=lead_id, deal_id=7, created_at_text="2026-11-23T00:00:00Z")
    return ConversionOutcome(lead_id=lead_id, outcome=outcome, conversion=conversion)


def unconverted(lead_id, outcome=Outcome.FAILED, error=REFUSED):
    return ConversionOutcome(lead_id=lead_id, outcome=outcome, error=error)


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
    results.note_look(99)
    results.add(converted(1, Outcome.EXISTING))
    results.add(unconverted(3))
    assert not (tmp_path / "r.jsonl").exists()
    results.add(converted(2))
    results.publish()
    conversion = {"organization_id": None, "deal_id": 7, "creator_id": None, "created_at": "2026-11-23T00:00:00Z"}
    run = {"run": "run", "start_mark": 99}
    error = {"status": 422, "code": "incorrect_value", "field": "/data/owner_id", "text": str(REFUSED)}
    settings = {"owner_id": None, "create_deal": None}
    nothing = {"conversion_id": None, "individual_id": None, **dict.fromkeys(conversion), "error": error}
    assert published(tmp_path) == [
        {"lead_id": 3, "owner_id": 5, "create_deal": False, "outcome": "failed", **nothing, **run},
        *(
            {"lead_id": lead, **settings, "outcome": word, "conversion_id": 100 + lead, "individual_id": None}
            | conversion
            | {"error": None, **run}
            for lead, word in ((1, "existing"), (2, "converted"))
        ),
    ]
    assert list(published(tmp_path)[0]) == list(published(tmp_path)[1])
    assert [path.name for path in tmp_path.iterdir()] == ["r.jsonl"]


def test_a_killed_process_leaves_its_lines(open_results, tmp_path):
    results = open_results()
    results.note_look(99)
    results.add(converted(1))
    results.add(unconverted(2))
    journal = [json.loads(line) for line in (tmp_path / "r.jsonl.journal").read_text().splitlines()]
    assert [line.get("outcome") for line in journal] == [None, "converted", "failed"]

    results = open_results()
    assert results.unfinished
    assert results.before == Before(start_mark=99, looked=True, known={1: 101}, unconverted={2})
    results.add(converted(3))
    results.add(unconverted(2))
    results.publish()
    assert {line["lead_id"]: line["outcome"] for line in published(tmp_path)} == {
        3: "converted",
        1: "converted",
        2: "failed",
    }


def test_a_published_file_is_gone_on_from(open_results, tmp_path):
    results = open_results()
    results.note_look(99)
    results.add(converted(1))
    results.add(unconverted(2, Outcome.UNKNOWN))
    results.add(unconverted(3, Outcome.NOT_ATTEMPTED, None))
    results.publish()
    results = open_results()
    assert not results.unfinished
    # The look has to be made again, but what was converted above the mark was converted by this run,
    # except for leads that were told to be unconverted when it ended.
    assert results.before == Before(start_mark=99, looked=False, known={1: 101}, unconverted={3})
    assert results.kept == {Outcome.CONVERTED: 1}


def test_only_the_last_process_tells_what_is_unconverted(open_results):
    results = open_results()
    results.note_look(99)
    results.add(unconverted(2))
    results = open_results()
    results.note_look(99)  # and then lead 2 is sent again, and the process killed
    assert open_results().before == Before(start_mark=99, looked=True)


def test_an_empty_log_has_a_start_mark_too(open_results):
    open_results().note_look(0)
    assert open_results().before == Before(start_mark=0, looked=True)


def test_another_batch_is_looked_at_again(open_results):
    results = open_results()
    results.note_look(99)
    results.add(converted(1))
    other = [*LEADS, ConversionRequest(9)]
    assert open_results(other).before == Before(start_mark=99, looked=False, known={1: 101})
    assert open_results(LEADS[::-1]).before.looked


def test_conversions_of_leads_no_longer_in_the_batch_stay_on_record(open_results, tmp_path):
    results = open_results()
    results.note_look(99)
    results.add(converted(1))
    results.add(unconverted(2))
    results = open_results([ConversionRequest(3)])
    assert results.kept == {}
    results.add(converted(3))
    results.publish()
    assert [(line["lead_id"], line["outcome"]) for line in published(tmp_path)] == [(3, "converted"), (1, "converted")]


@pytest.mark.parametrize("unpublished", [False, True])
def test_another_runs_file_is_refused(open_results, tmp_path, unpublished):
    results = open_results()
    results.note_look(99)
    for lead in (1, 2, 3):
        results.add(converted(lead))
    if not unpublished:
        results.publish()
    names = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(InvalidRequestError, match=r"holds results of another run \(run\); put {{ run_id }} into"):
        open_results(run="another")
    assert {path.name for path in tmp_path.iterdir()} == names
    open_results()


@pytest.mark.parametrize("content", ["lead_id\n1\n", "{}\n", '{"lead_id": 1}\n', "[]\n"])
def test_a_file_that_holds_no_results(open_results, tmp_path, content):
    (tmp_path / "r.jsonl").write_text(content)
    with pytest.raises(InvalidRequestError, match=r"r\.jsonl is there and is no results file"):
        open_results()
    assert (tmp_path / "r.jsonl").read_text() == content


def test_a_dry_run_has_a_word_of_its_own(open_results, tmp_path):
    results = open_results([ConversionRequest(1)])
    results.add(unconverted(1, Outcome.NOT_ATTEMPTED, None), "would_convert")
    results.publish()
    assert published(tmp_path)[0]["outcome"] == "would_convert"
    assert open_results([ConversionRequest(1)]).before == Before()
