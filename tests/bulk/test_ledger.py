from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.at_most_once import MAX_UNKNOWN_OUTCOMES, ConfirmedConversion
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import InvalidRequestError, UnavailableError, UnknownOutcomeError
from airflow_provider_leadconv.api.models import ConversionRequest, LeadConversion
from airflow_provider_leadconv.bulk.ledger import Ledger, ResumeState

LOST = UnknownOutcomeError("no response")
NOT_FOUND = InvalidRequestError("no such lead", status_code=404, code="not_found")
ALREADY = InvalidRequestError("converted already", status_code=422, code="already_exists")

CONFIG = ClientConfig(token="token", timeout=10.0, settle_time=5.0)


def row(number, lead_id=1):
    return LeadConversion(id=number, lead_id=lead_id)


def ledger_of(*lead_ids, watermark=100, **before):
    ledger = Ledger([ConversionRequest(lead_id) for lead_id in lead_ids], ResumeState(**before))
    if ledger.start_watermark is None:
        ledger.start_watermark = watermark
    return ledger


def unknown(ledger, lead_id, resolve_at):
    """The response to a request is lost so early that a look-up decides at ``resolve_at``."""
    return ledger.unknown(lead_id, LOST, config=CONFIG, now=resolve_at - CONFIG.timeout - CONFIG.settle_time)


def refused(ledger, lead_id, error, resolve_at):
    """A request is refused so early that a look-up decides at ``resolve_at``."""
    return ledger.refused(lead_id, error, config=CONFIG, now=resolve_at - CONFIG.settle_time)


def words(results):
    return [(result.lead_id, str(result.status)) for result in results if result]


def test_a_lead_converted_before_the_first_request_is_existing():
    ledger = ledger_of(1, 2)
    assert words(ledger.observe([row(90), row(80, 7)])) == [(1, "existing")]
    assert ledger.unresolved == {2}
    assert list(ledger.observe([row(90)])) == []


@pytest.mark.parametrize(("number", "result"), [(100, "existing"), (101, "converted")])
def test_a_response_counts_as_converted_above_the_start_watermark(number, result):
    ledger = ledger_of(1)
    ledger.send(1)
    assert words([ledger.converted(ConfirmedConversion(row(number), from_response=True))]) == [(1, result)]
    assert not ledger.unresolved
    assert not ledger.in_flight


def test_a_lead_in_flight_gets_its_result_from_its_response():
    ledger = ledger_of(1)
    ledger.send(1)
    assert list(ledger.observe([row(101)])) == []
    assert words([ledger.converted(ConfirmedConversion(row(101), from_response=True))]) == [(1, "converted")]
    assert not ledger.duplicates


@pytest.mark.parametrize(
    ("ended", "result"),
    [
        (lambda ledger: unknown(ledger, 1, 50.0), "converted"),
        (lambda ledger: refused(ledger, 1, NOT_FOUND, 50.0), "existing"),
        (lambda ledger: ledger.had_no_effect(1, UnavailableError("gone")), "existing"),
        (lambda ledger: next(ledger.abandon(None)), "converted"),
    ],
    ids=["no response", "refused", "not sent", "abandoned"],
)
def test_a_conversion_observed_in_flight_decides_if_the_request_fails(ended, result):
    ledger = ledger_of(1)
    ledger.send(1)
    list(ledger.observe([row(101)]))
    assert words([ended(ledger)]) == [(1, result)]


def test_an_unknown_outcome_observed_in_the_changefeed_is_converted():
    ledger = ledger_of(1, 2)
    ledger.send(1)
    assert unknown(ledger, 1, 50.0) is None
    assert words(ledger.observe([row(101), row(102, 2)])) == [(1, "converted"), (2, "existing")]


def test_an_already_exists_is_resolved_no_earlier_than_its_resolve_time():
    ledger = ledger_of(1)
    ledger.send(1)
    assert refused(ledger, 1, ALREADY, 50.0) is None
    assert ledger.resolve_times == [50.0]
    assert ledger.resolve(49.9, send_again=True) == ([], [])
    results, again = ledger.resolve(50.0, send_again=True)
    assert (words(results), again) == ([(1, "failed")], [])


def test_an_unknown_outcome_is_resolved_no_earlier_than_its_resolve_time():
    ledger = ledger_of(1, 2)
    for lead, resolve_at in ((1, 50.0), (2, 60.0)):
        ledger.send(lead)
        unknown(ledger, lead, resolve_at)
    assert ledger.resolve(49.9, send_again=True) == ([], [])
    assert ledger.resolve(50.0, send_again=True) == ([], [1])
    assert ledger.resolve_times == [60.0]
    assert ledger.resolve(99.0, send_again=True) == ([], [2])
    assert ledger.resolve(99.0, send_again=True) == ([], [])  # once is enough
    assert ledger.send(1) == (ConversionRequest(1), True)


def test_a_lead_ends_unknown_after_four_unknown_outcomes():
    ledger = ledger_of(1)
    for number in range(1, MAX_UNKNOWN_OUTCOMES + 1):
        ledger.send(1)
        unknown(ledger, 1, 50.0)
        ended, again = ledger.resolve(50.0, send_again=True)
        assert again == ([1] if number < MAX_UNKNOWN_OUTCOMES else [])
    assert words(ended) == [(1, "unknown")]


def test_nothing_is_sent_again_when_the_run_stops():
    ledger = ledger_of(1)
    ledger.send(1)
    unknown(ledger, 1, 50.0)
    ended, again = ledger.resolve(50.0, send_again=False)
    assert (words(ended), again) == ([(1, "unknown")], [])
    assert ended[0].error is LOST


def test_a_refusal_stands_at_once_except_already_exists():
    ledger = ledger_of(1, 2)
    ledger.send(1)
    assert words([refused(ledger, 1, NOT_FOUND, 50.0)]) == [(1, "failed")]
    ledger.send(2)
    assert refused(ledger, 2, ALREADY, 50.0) is None
    assert words(ledger.observe([row(90, 2)])) == [(2, "existing")]


def test_already_exists_without_a_visible_conversion_ends_failed():
    ledger = ledger_of(1)
    ledger.send(1)
    refused(ledger, 1, ALREADY, 50.0)
    assert words(ledger.resolve(50.0, send_again=True)[0]) == [(1, "failed")]


@pytest.mark.parametrize(
    ("refusal", "result", "reason"), [(NOT_FOUND, "failed", NOT_FOUND), (ALREADY, "unknown", LOST)]
)
def test_a_refusal_after_an_unknown_outcome_stands_unless_it_contradicts_the_look_up(refusal, result, reason):
    ledger = ledger_of(1)
    ledger.send(1)
    unknown(ledger, 1, 50.0)
    ledger.resolve(50.0, send_again=True)
    ledger.send(1)
    assert refused(ledger, 1, refusal, 90.0) is None
    ended, again = ledger.resolve(90.0, send_again=True)
    assert (words(ended), again) == ([(1, result)], [])
    assert ended[0].error is reason


def test_abandoned_leads_that_were_sent_come_first():
    gone = UnavailableError("gone")
    ledger = ledger_of(1, 2, 3, 4)
    ledger.send(3)
    ledger.send(4)
    unknown(ledger, 4, 50.0)
    results = list(ledger.abandon(gone))
    assert words(results) == [(3, "unknown"), (4, "unknown"), (1, "not_attempted"), (2, "not_attempted")]
    assert [result.error for result in results][1:] == [LOST, gone, gone]
    assert list(ledger.abandon(gone)) == []


def test_an_error_that_ends_the_run_leaves_an_unknown_outcome_unknown():
    gone = UnavailableError("gone")
    ledger = ledger_of(1, 2)
    ledger.send(1)
    unknown(ledger, 1, 50.0)
    assert words([ledger.had_no_effect(1, gone), ledger.had_no_effect(2, gone)]) == [
        (1, "unknown"),
        (2, "not_attempted"),
    ]


def test_a_resumed_ledger_attributes_conversions_to_the_right_process():
    ledger = ledger_of(1, 2, 3, 4, start_watermark=100, known={4: 101}, unconverted={3})
    assert set(ledger.leads) == {1, 2, 3}
    rows = [row(104, 3), row(103, 2), row(101, 4), row(99, 1)]
    assert words(ledger.observe(rows)) == [(3, "existing"), (2, "converted"), (1, "existing")]
    assert not ledger.duplicates


def test_two_conversions_of_a_lead_are_reported_as_duplicates():
    ledger = ledger_of(1, 2, 3, start_watermark=100, known={3: 50})
    list(ledger.observe([row(90, 1), row(80, 1)]))  # long before
    assert not ledger.duplicates
    ledger.send(2)
    ledger.converted(ConfirmedConversion(row(101, 2), from_response=True))
    ledger.audit([row(101, 2), row(102, 2), row(103, 3), row(104, 9)])
    assert ledger.duplicates == {2: {101, 102}, 3: {50, 103}}


def test_a_second_conversion_that_the_changefeed_shows_during_the_run_is_a_duplicate():
    """Whether it shows up while the lead's request is under way, after its result, or after an earlier process's."""
    ledger = ledger_of(1, 2, 3, start_watermark=100, known={3: 50})
    for lead in (1, 2):
        ledger.send(lead)
    list(ledger.observe([row(101, 1)]))
    ledger.converted(ConfirmedConversion(row(102, 1), from_response=True))
    ledger.converted(ConfirmedConversion(row(103, 2), from_response=True))
    list(ledger.observe([row(104, 2), row(103, 2), row(105, 3), row(106, 9)]))
    assert ledger.duplicates == {1: {101, 102}, 2: {103, 104}, 3: {50, 105}}
