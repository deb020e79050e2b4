from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.errors import InvalidRequestError, UnavailableError, UnknownOutcomeError
from airflow_provider_leadconv.api.records import ConversionRequest, LeadConversion
from airflow_provider_leadconv.jobs.ledger import MAX_REQUESTS, Before, Ledger

LOST = UnknownOutcomeError("no answer")
NOT_FOUND = InvalidRequestError("no such lead", status=404, code="not_found")
ALREADY = InvalidRequestError("converted already", status=422, code="already_exists")


def row(number, lead_id=1):
    return LeadConversion(id=number, lead_id=lead_id)


def ledger_of(*lead_ids, mark=100, **before):
    ledger = Ledger([ConversionRequest(lead_id) for lead_id in lead_ids], Before(**before))
    if ledger.start_mark is None:
        ledger.start_mark = mark
    return ledger


def words(outcomes):
    return [(outcome.lead_id, str(outcome.outcome)) for outcome in outcomes if outcome]


def test_what_is_there_before_the_first_request_is_existing():
    ledger = ledger_of(1, 2)
    assert words(ledger.meet([row(90), row(80, 7)])) == [(1, "existing")]
    assert ledger.open == {2}
    assert list(ledger.meet([row(90)])) == []


@pytest.mark.parametrize(("number", "outcome"), [(100, "existing"), (101, "converted")])
def test_an_answer_counts_as_ours_above_the_start_mark(number, outcome):
    ledger = ledger_of(1)
    ledger.send(1)
    assert words([ledger.answered(row(number))]) == [(1, outcome)]
    assert not ledger.open
    assert not ledger.in_flight


def test_a_lead_in_flight_is_waited_for():
    ledger = ledger_of(1)
    ledger.send(1)
    assert list(ledger.meet([row(101)])) == []
    assert words([ledger.answered(row(101))]) == [(1, "converted")]
    assert not ledger.duplicates


@pytest.mark.parametrize(
    ("ended", "outcome"),
    [
        (lambda ledger: ledger.unanswered(1, LOST, 50.0), "converted"),
        (lambda ledger: ledger.refused(1, NOT_FOUND, 50.0), "existing"),
        (lambda ledger: ledger.unsent(1, UnavailableError("gone")), "existing"),
        (lambda ledger: next(ledger.abandon(None)), "converted"),
    ],
    ids=["no answer", "refused", "not sent", "abandoned"],
)
def test_what_the_log_has_shown_of_a_lead_in_flight_decides(ended, outcome):
    ledger = ledger_of(1)
    ledger.send(1)
    list(ledger.meet([row(101)]))
    assert words([ended(ledger)]) == [(1, outcome)]


def test_a_lead_in_doubt_that_the_log_shows_was_converted_by_us():
    ledger = ledger_of(1, 2)
    ledger.send(1)
    assert ledger.unanswered(1, LOST, 50.0) is None
    assert words(ledger.meet([row(101), row(102, 2)])) == [(1, "converted"), (2, "existing")]


def test_a_lead_in_doubt_is_judged_when_the_server_must_be_done():
    ledger = ledger_of(1, 2)
    for lead, judge_at in ((1, 50.0), (2, 60.0)):
        ledger.send(lead)
        ledger.unanswered(lead, LOST, judge_at)
    assert ledger.judge(49.9, send_again=True) == ([], [])
    assert ledger.judge(50.0, send_again=True) == ([], [1])
    assert ledger.judgements == [60.0]
    assert ledger.judge(99.0, send_again=True) == ([], [2])
    assert ledger.judge(99.0, send_again=True) == ([], [])  # once is enough
    assert ledger.send(1) == (ConversionRequest(1), True)


def test_so_many_requests_and_no_more():
    ledger = ledger_of(1)
    for number in range(1, MAX_REQUESTS + 1):
        ledger.send(1)
        ledger.unanswered(1, LOST, 50.0)
        ended, again = ledger.judge(50.0, send_again=True)
        assert again == ([1] if number < MAX_REQUESTS else [])
    assert words(ended) == [(1, "unknown")]


def test_nothing_is_sent_again_when_the_run_stops():
    ledger = ledger_of(1)
    ledger.send(1)
    ledger.unanswered(1, LOST, 50.0)
    ended, again = ledger.judge(50.0, send_again=False)
    assert (words(ended), again) == ([(1, "unknown")], [])
    assert ended[0].error is LOST


def test_a_refusal_stands_at_once_unless_it_knows_of_a_conversion():
    ledger = ledger_of(1, 2)
    ledger.send(1)
    assert words([ledger.refused(1, NOT_FOUND, 50.0)]) == [(1, "failed")]
    ledger.send(2)
    assert ledger.refused(2, ALREADY, 50.0) is None
    assert words(ledger.meet([row(90, 2)])) == [(2, "existing")]


def test_a_refusal_that_knows_of_a_conversion_nobody_sees_stands_in_the_end():
    ledger = ledger_of(1)
    ledger.send(1)
    ledger.refused(1, ALREADY, 50.0)
    assert words(ledger.judge(50.0, send_again=True)[0]) == [(1, "failed")]


@pytest.mark.parametrize(("refusal", "outcome"), [(NOT_FOUND, "failed"), (ALREADY, "unknown")])
def test_a_refusal_after_a_doubt(refusal, outcome):
    ledger = ledger_of(1)
    ledger.send(1)
    ledger.unanswered(1, LOST, 50.0)
    ledger.judge(50.0, send_again=True)
    ledger.send(1)
    assert ledger.refused(1, refusal, 90.0) is None
    ended, again = ledger.judge(90.0, send_again=True)
    assert (words(ended), again) == ([(1, outcome)], [])


def test_an_end_of_the_run_is_told_of_what_mattered_first():
    gone = UnavailableError("gone")
    ledger = ledger_of(1, 2, 3, 4)
    ledger.send(3)
    ledger.send(4)
    ledger.unanswered(4, LOST, 50.0)
    outcomes = list(ledger.abandon(gone))
    assert words(outcomes) == [(3, "unknown"), (4, "unknown"), (1, "not_attempted"), (2, "not_attempted")]
    assert [outcome.error for outcome in outcomes][1:] == [LOST, gone, gone]
    assert list(ledger.abandon(gone)) == []


def test_what_ends_the_run_leaves_a_lead_in_doubt_unknown():
    gone = UnavailableError("gone")
    ledger = ledger_of(1, 2)
    ledger.send(1)
    ledger.unanswered(1, LOST, 50.0)
    assert words([ledger.unsent(1, gone), ledger.unsent(2, gone)]) == [(1, "unknown"), (2, "not_attempted")]


def test_going_on_from_an_earlier_process():
    ledger = ledger_of(1, 2, 3, 4, start_mark=100, known={4: 101}, unconverted={3})
    assert set(ledger.leads) == {1, 2, 3}
    rows = [row(104, 3), row(103, 2), row(101, 4), row(99, 1)]
    assert words(ledger.meet(rows)) == [(3, "existing"), (2, "converted"), (1, "existing")]
    assert not ledger.duplicates


def test_two_conversions_of_a_lead_are_told():
    ledger = ledger_of(1, 2, 3, start_mark=100, known={3: 50})
    list(ledger.meet([row(90, 1), row(80, 1)]))  # long before
    assert not ledger.duplicates
    ledger.send(2)
    ledger.answered(row(101, 2))
    ledger.audit([row(101, 2), row(102, 2), row(103, 3), row(104, 9)])
    assert ledger.duplicates == {2: {101, 102}, 3: {50, 103}}
