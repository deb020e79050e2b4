"""The two questions that need a conversion, against the sandbox in each of its meanings."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.account_check.conversion import check_conversion
from airflow_provider_leadconv.account_check.report import Report
from airflow_provider_leadconv.api.exceptions import InvalidRequestError, UnknownOutcomeError
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.sandbox import Fault

pytestmark = pytest.mark.usefixtures("full_rate")


def check(lead: int) -> Report:
    return check_conversion(LeadConversionHook().get_conn(), lead)


@pytest.mark.parametrize(
    ("meaning", "words", "conversions"),
    [
        ("refuse", "A second conversion is refused with 422 already_exists.", 1),
        ("not_found", "A second conversion is refused with 404 not_found.", 1),
        ("conflict", "A second conversion is refused with 409", 1),
        ("same", "A second conversion gets 200 and the first record again.", 1),
        pytest.param(
            "new",
            "the API converts a lead twice",
            2,
            marks=pytest.mark.expected_violation("converted 2 times", reason="the check finds out whether it can be"),
        ),
    ],
)
def test_each_meaning_of_a_second_conversion(sandbox, meaning, words, conversions):
    lead = sandbox.leads[0]
    sandbox.change_settings(second_conversion=meaning)
    report = check(lead)
    assert words in report.findings["second conversion"].text
    assert report.findings["visibility"].observed == {"hidden_for_seconds": 0.0}
    assert report.is_expected
    assert sandbox.conversion_counts[lead] == conversions
    assert str(lead) not in report.to_json()


def test_a_conversion_that_is_visible_late_needs_a_longer_settle_time(sandbox):
    sandbox.faults = [Fault(name="late_visible", method="POST", seconds=1.2, times=1)]
    report = check(sandbox.leads[0])
    hidden = report.findings["visibility"].observed["hidden_for_seconds"]
    assert 0.5 <= hidden <= 3
    assert report.settings["settle_time"] >= 3 * hidden


def test_a_lost_second_response_settles_nothing(sandbox):
    lead = sandbox.leads[0]
    client = LeadConversionHook().get_conn()
    find = client.find

    def find_and_fail(query):
        found = find(query)
        if found is not None:
            sandbox.faults = [Fault(name="drop_after", method="POST")]
        return found

    client.find = find_and_fail
    report = check_conversion(client, lead)
    assert report.findings["second conversion"].verdict == "not settled"


def test_a_lost_first_response_ends_the_check(sandbox):
    sandbox.faults = [Fault(name="drop_after", method="POST")]
    with pytest.raises(UnknownOutcomeError):
        check(sandbox.leads[0])
    assert sum(request.method == "POST" for request in sandbox.requests) == 1


def test_a_converted_lead_is_refused_before_anything_is_sent(sandbox):
    with pytest.raises(InvalidRequestError, match="is already converted; pass a lead that is not"):
        check(sandbox.conversions[0]["lead_id"])
    assert {request.method for request in sandbox.requests} == {"GET"}
