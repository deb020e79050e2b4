"""The check against the sandbox, in several of the meanings that the vendor's documentation leaves open."""

from __future__ import annotations

import time

import pytest

from airflow_provider_leadconv.account_check import questions
from airflow_provider_leadconv.account_check.questions import MAX_REQUESTS, QUESTIONS, check_account
from airflow_provider_leadconv.account_check.report import Report
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import AuthenticationError
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.sandbox import Fault

pytestmark = pytest.mark.usefixtures("full_rate")


def check() -> Report:
    return LeadConversionHook().check_account()


def verdicts(report: Report) -> dict[str, str]:
    return {name: finding.verdict for name, finding in report.findings.items()}


def test_an_account_as_documented_is_as_expected(sandbox):
    report = check()
    assert verdicts(report) == dict.fromkeys(["scope", *QUESTIONS], "expected")
    assert (report.is_expected, report.settings) == (True, {})
    assert report.requests == len(sandbox.requests) <= MAX_REQUESTS
    assert {request.method for request in sandbox.requests} == {"GET"}
    assert report.findings["cursor"].observed["form"] == "base64 of JSON with last_id"


def test_the_report_holds_no_id_and_no_token(sandbox):
    report = check()
    text = report.to_json() + report.to_text()
    conversions = list(LeadConversionHook().list_conversions())
    ids = {value for row in conversions for value in row.to_dict().values() if isinstance(value, int)}
    assert len(ids) > 60
    assert not [number for number in ids if str(number) in text]
    assert sandbox.token not in text


@pytest.mark.parametrize(
    ("fault", "question", "words"),
    [
        ("missing_rows", "meta.count", "meta.count is 2 on a page of 1 rows."),
        ("count_too_low", "meta.count", "meta.count is 1 on a page of 2 rows."),
        ("ignored_filter", "filters", "individual_id: ignored"),
        ("rising_ids", "cursor", "does not continue below the first"),
        ("repeat_rows", "cursor", "does not continue below the first"),
    ],
)
def test_a_difference_is_named(sandbox, fault, question, words):
    sandbox.faults = [Fault(name=fault)]
    report = check()
    assert not report.is_expected
    assert report.findings[question].verdict == "different"
    assert words in report.findings[question].text


def test_an_error_that_passes_is_no_difference(sandbox):
    sandbox.faults = [Fault(name="error_503", times=2)]
    assert check().is_expected


def test_a_question_whose_request_fails_is_not_settled(sandbox, monkeypatch):
    ask = QUESTIONS["look-ups"]

    def ask_and_fail(observer):
        sandbox.faults = [Fault(name="redirect", times=1)]
        return ask(observer)

    monkeypatch.setitem(QUESTIONS, "look-ups", ask_and_fail)
    report = check()
    finding = report.findings["look-ups"]
    assert (finding.verdict, finding.text) == ("not settled", "The request failed: ConnectionConfigError, status 307.")
    assert report.is_expected


def test_a_count_of_neither_kind_needs_a_setting(sandbox):
    sandbox.faults = [Fault(name="missing_rows")]
    assert check().settings == {"check_count": False}


def test_a_total_is_recognised(sandbox):
    sandbox.faults = [Fault(name="total_count")]
    finding = check().findings["meta.count"]
    assert (finding.verdict, finding.observed) == ("expected", {"per_page": 2, "rows": 2, "count": 30})
    assert "is the total of the listing" in finding.text


def test_look_ups_that_lag_need_a_longer_settle_time(sandbox, monkeypatch):
    sandbox.faults = [Fault(name="lookup_lag", method="POST", seconds=60)]
    LeadConversionHook().get_conn().post(ConversionRequest(sandbox.leads[0]))
    monkeypatch.setattr("airflow_provider_leadconv.account_check.questions.LOOKUP_PAUSE", 0.01)
    report = check()
    assert report.findings["look-ups"].verdict == "different"
    assert report.settings["settle_time"] == 120.0


def test_late_ids_are_counted(sandbox, monkeypatch):
    sandbox.add_conversion(visible_after=0.3)
    sandbox.add_conversion()

    def waits_first(observer):
        time.sleep(0.4)
        return questions._late_ids(observer)

    monkeypatch.setitem(questions.QUESTIONS, "late ids", waits_first)
    finding = check().findings["late ids"]
    assert (finding.verdict, finding.observed["late"]) == ("different", 1)


def test_conversions_that_others_make_meanwhile_are_not_late(sandbox):
    sandbox.change_settings(arrivals=1)
    report = check()
    assert report.is_expected
    assert report.findings["late ids"].observed["new"] > 10


def test_a_token_without_the_scope_read(sandbox, monkeypatch):
    sandbox.add_token("writer", ["write"])
    report = check_account(_client(sandbox, "writer"))
    assert verdicts(report) == {"scope": "different"}
    assert "403 insufficient_scope" in report.findings["scope"].text


def test_an_invalid_token_is_an_error(sandbox):
    with pytest.raises(AuthenticationError):
        check_account(_client(sandbox, "invalid"))


def _client(sandbox, token):
    return LeadConversionsClient(ClientConfig(token=token, base_url=sandbox.base_url, timeout=2, retry_timeout=3))


def test_an_empty_account_settles_little(sandbox):
    for conversion in sandbox.conversions:
        sandbox.remove_conversion(conversion["id"])
    report = check()
    assert report.is_expected
    assert verdicts(report)["look-ups"] == verdicts(report)["cursor"] == verdicts(report)["filters"] == "not settled"


def test_the_budget_is_never_exceeded(sandbox, monkeypatch):
    monkeypatch.setattr("airflow_provider_leadconv.account_check.questions.MAX_REQUESTS", 6)
    report = check()
    assert report.requests == len(sandbox.requests) == 6
    assert "All 6 requests were used" in report.findings["late ids"].text
