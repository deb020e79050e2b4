"""The checker finds each kind of violation in a small history, and none in a true one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest

from airflow_provider_leadconv.api.http import USER_AGENT
from airflow_provider_leadconv.sandbox.history import History, LoggedRequest, RecordedConversion
from airflow_provider_leadconv.sandbox.schemas import Conversion
from tests.support import history as checker
from tests.support.history import Exported, ForeignRequest, Limit, Reported, Summary, check

START = 1000.0


class Account:
    """A history that is written step by step.

    :param leads: leads 1 to this number are converted from the start, as conversions 1 to this number.
    """

    def __init__(self, leads=0):
        self.requests = []
        self.conversions = [RecordedConversion(conversion(number, number)) for number in range(1, leads + 1)]
        self.now = START

    @property
    def history(self):
        return History(self.requests, self.conversions, ["ours"])

    def request(self, method="GET", status=200, body="", user_agent=USER_AGENT):
        self.now += 1
        request = LoggedRequest(
            time=self.now,
            method=method,
            path="/v2/lead_conversions",
            query={},
            query_string="",
            headers={"user-agent": user_agent},
            client=None,
            body=body,
            status=status,
            request_id=str(len(self.requests)),
            token_hash="ours",
        )
        self.requests.append(request)
        return request

    def post(self, lead, conversion_id=None, *, late=0.0, **options):
        """We send a lead, and the API converts it, unless there is no ``conversion_id``."""
        request = self.request("POST", body=json.dumps({"data": {"lead_id": lead}}), **options)
        if conversion_id is not None:
            self.commit(lead, conversion_id, request.request_id, late)
        return request

    def commit(self, lead, conversion_id, request_id=None, late=0.0):
        made = self.now + 0.1
        self.conversions.append(
            RecordedConversion(conversion(conversion_id, lead), request_id, made, made + late, made + late)
        )

    def remove(self, conversion_id):
        self.now += 1
        self.conversions = [
            msgspec.structs.replace(each, removed_at=self.now) if each.conversion.id == conversion_id else each
            for each in self.conversions
        ]


def conversion(conversion_id, lead, creator_id=7):
    return Conversion(conversion_id, lead, None, 5, None, creator_id, "2026-11-25T12:00:00Z")


def results(account, *lines):
    keys = ("lead_id", "status", "conversion_id")
    return Reported("results.jsonl", [dict(zip(keys, line, strict=True)) for line in lines], account.now + 1)


def rows(*ids):
    return [msgspec.structs.asdict(conversion(number, number)) for number in ids]


def test_a_true_history_has_no_violations():
    account = Account(leads=3)
    account.request()
    account.post(10, 11)
    account.post(12, 13)
    account.post(14, status=422)
    account.post(15, status=None)
    account.commit(16, 17)
    said = results(
        account,
        (10, "converted", 11),
        (12, "converted", 13),
        (14, "failed", None),
        (15, "unknown", None),
        (16, "existing", 17),
        (18, "not_attempted", None),
        (19, "would_convert", None),
        (1, "existing", 1),
    )
    export = Exported("export", rows(3, 2, 1), START, START + 1)
    found = check(account.history, reported=[said], exported=[export], limits=[Limit(1.0, START)])
    assert found == []


# No lead is converted twice


def test_a_lead_that_we_converted_twice():
    account = Account()
    account.post(10, 11)
    account.post(10, 12)
    assert check(account.history) == ["lead 10 was converted 2 times by us: conversions [11, 12]"]


def test_a_lost_response_and_a_late_commit_count():
    account = Account()
    account.post(10, 11, status=None, late=5.0)
    account.post(10, 12, status=None)
    assert len(check(account.history)) == 1


def test_a_lead_whose_conversion_was_listed_before_our_first_request():
    account = Account(leads=1)
    account.request()
    account.post(1, 11)
    (violation,) = check(account.history)
    assert violation == (
        "lead 1 was converted by us (conversion 11), though conversion 1 was listed before our first request"
    )


def test_conversions_by_others_are_not_ours():
    account = Account()
    account.request()
    account.commit(10, 11)
    account.post(10, 12)  # they were faster, and we could not know
    account.post(20, 21, user_agent="curl/8")
    account.post(20, 22, user_agent="curl/8")
    account.commit(30, 31)
    account.commit(30, 32)
    assert check(account.history) == []


# Every reported result is true


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ((10, "converted", 12), "conversion 12 is not one of its conversions [11]"),
        ((10, "converted", 99), "conversion 99 is not one of its conversions [11]"),
        ((10, "existing", 12), "conversion 12 is not one of its conversions [11]"),
        ((14, "converted", 15), "conversion 15 was made by another user"),
        ((14, "existing", 99), "conversion 99 is not one of its conversions [15]"),
        ((16, "existing", None), "it has no conversion"),
        ((16, "converted", None), "it has no conversion"),
        ((10, "failed", None), "we made conversions [11] of it"),
        ((13, "failed", None), "we made conversions [12] of it"),
        ((10, "not_attempted", None), "we made conversions [11] of it"),
        ((10, "would_convert", None), "we made conversions [11] of it"),
        ((16, "unknown", None), "no conversion of it was sent"),
        ((16, "done", None), "there is no such status"),
    ],
)
def test_a_false_result(line, problem):
    account = Account()
    account.request()
    account.post(10, 11)
    account.post(13, 12, status=500)
    account.commit(14, 15)
    violations = check(account.history, reported=[results(account, line)])
    assert violations == [f"results.jsonl says that lead {line[0]} is {line[1]}, but {problem}"]


def test_a_failed_lead_that_is_converted_late():
    account = Account()
    account.post(10, status=None)
    said = results(account, (10, "failed", None))
    account.now += 30
    account.commit(10, 11, account.requests[0].request_id)
    assert len(check(account.history, reported=[said])) == 1


def test_a_conversion_that_was_made_after_the_report():
    account = Account()
    account.post(10, status=None)
    said = results(account, (10, "converted", 11))
    account.now += 30
    account.commit(10, 11, account.requests[0].request_id)
    (violation,) = check(account.history, reported=[said])
    assert "conversion 11 was made only later" in violation


def test_a_later_run_makes_earlier_results_no_less_true():
    account = Account()
    account.post(10, status=422)
    said = results(account, (10, "failed", None), (20, "not_attempted", None))
    account.now += 30
    account.post(10, 11)
    account.post(20, 21)
    assert check(account.history, reported=[said]) == []


def test_two_results_of_a_lead():
    account = Account()
    account.post(10, 11)
    said = results(account, (10, "converted", 11), (10, "converted", 11))
    assert check(account.history, reported=[said]) == ["results.jsonl has 2 results of lead 10"]


@pytest.mark.parametrize("status", [200, 409])
def test_an_answer_that_looks_like_a_conversion_of_ours(status):
    account = Account()
    account.request()
    account.commit(10, 11)
    account.post(10, status=status)
    assert check(account.history, reported=[results(account, (10, "converted", 11))]) == []


def test_a_summary_that_counts_too_many():
    account = Account(leads=1)
    account.post(10, 11)
    account.post(12, status=422)
    assert check(account.history, summaries=[Summary("convert", 1)]) == []
    (violation,) = check(account.history, summaries=[Summary("convert", 2)])
    assert violation == "convert says that 2 leads were converted, but we converted 1"


# Every export equals what was visible


def exported(account, ids, **options):
    given = {"where": "export", "rows": rows(*ids), "started": START + 5, "finished": START + 9, **options}
    return check(account.history, exported=[Exported(**given)])


def test_a_missing_row():
    lacks = ["export lacks conversion 2, which was visible when the export began"]
    assert exported(Account(leads=3), [3, 1]) == lacks
    assert exported(Account(leads=3), [3, 1], started=None) == []


def test_a_row_too_many():
    assert exported(Account(leads=2), [3, 2, 1]) == ["export has conversion 3, which there is not"]
    assert exported(Account(leads=2), [2, 2, 1]) == ["export has conversion 2 2 times"]


def test_a_row_that_was_not_visible_yet():
    account = Account(leads=1)
    account.commit(2, 2, late=60)
    assert exported(account, [1]) == []
    assert exported(account, [2, 1]) == ["export has conversion 2, which was not visible yet"]


def test_conversions_made_while_the_export_runs_are_optional():
    account = Account(leads=1)
    account.now = START + 7
    account.commit(2, 2)
    assert exported(account, [1]) == exported(account, [2, 1]) == []


def test_removed_conversions_are_optional_if_they_were_removed_before_the_end():
    account = Account(leads=2)
    account.remove(2)
    assert exported(account, [1]) == exported(account, [2, 1]) == []
    assert len(exported(account, [1], finished=account.now - 0.5)) == 1


def test_filters():
    account = Account(leads=2)
    account.conversions.append(RecordedConversion(conversion(3, 3, creator_id=8)))
    assert exported(account, [2, 1], filters={"creator_id": 7}) == []
    too_many = [*rows(2, 1), msgspec.structs.asdict(conversion(3, 3, creator_id=8))]
    (violation,) = exported(account, [], rows=too_many, filters={"creator_id": 7})
    assert violation == "export has conversion 3, which does not match {'creator_id': 7}"
    assert len(exported(account, [1], filters={"creator_id": 7})) == 1


@pytest.mark.parametrize("column", ["lead_id", "organization_id", "deal_id", "created_at"])
def test_a_wrong_column(column):
    (row,) = rows(1)
    violations = exported(Account(leads=1), [], rows=[row | {column: 6}])
    assert violations == [f"export has conversion 1 with a wrong {column}"]


def test_a_damaged_row():
    damaged = exported(Account(leads=1), [], rows=[{}])
    assert damaged[0] == "export has a row that is no conversion: {}"
    assert len(damaged) == 2  # conversion 1 is missing


def test_columns_are_compared_in_the_form_of_each_format():
    (row,) = rows(1)
    as_csv = {name: "" if value is None else str(value) for name, value in row.items()}
    as_parquet = row | {"created_at": datetime(2026, 11, 25, 12, tzinfo=UTC)}
    assert exported(Account(leads=1), [], rows=[as_csv]) == exported(Account(leads=1), [], rows=[as_parquet]) == []


# No request above the rate


def requests_at(*times):
    account = Account()
    for moment in times:
        account.now = moment - 1
        account.request()
    return account.history


def spaced(number, interval, start=START):
    return [start + index * interval for index in range(number)]


def test_requests_at_the_rate_are_allowed():
    assert check(requests_at(*spaced(300, 0.1)), limits=[Limit(10, START)]) == []


def test_a_rate_that_is_too_high():
    (violation,) = check(requests_at(*spaced(300, 0.09)), limits=[Limit(10, START)])
    assert violation.startswith("more than 10 requests per second at ")


def test_a_burst():
    late = spaced(11, 0.001, START + 30)
    assert check(requests_at(*late), limits=[Limit(10, START)]) == []
    assert len(check(requests_at(*late, START + 30.02), limits=[Limit(10, START)])) == 1


def test_each_client_has_its_own_limit():
    twice = requests_at(*spaced(300, 0.05))
    assert check(twice, limits=[Limit(10, START), Limit(10, START)]) == []
    assert len(check(twice, limits=[Limit(10, START)])) == 1
    assert len(check(twice, limits=[Limit(10, START), Limit(10, START + 100)])) == 1


def test_unknown_limits_and_foreign_requests_are_not_checked():
    assert check(requests_at(*spaced(300, 0.01))) == []
    foreign = [msgspec.structs.replace(each, headers={}) for each in requests_at(*spaced(300, 0.01)).requests]
    assert check(History(foreign, [], []), limits=[Limit(10, START)]) == []


# No token to another host


def test_a_token_that_another_host_was_sent():
    elsewhere = ForeignRequest("http://localhost:9/v2", "ours")
    assert check(Account().history, elsewhere=[elsewhere]) == ["http://localhost:9/v2 was sent the token"]
    assert check(Account().history, elsewhere=[replace(elsewhere, token_hash=None)]) == []
    assert check(Account().history, elsewhere=[replace(elsewhere, token_hash="theirs")]) == []


def test_our_requests_are_known_by_their_user_agent():
    assert USER_AGENT.startswith(checker.USER_AGENT)
