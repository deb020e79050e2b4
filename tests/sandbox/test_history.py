from __future__ import annotations

import time

import msgspec
import pytest
import requests

from airflow_provider_leadconv.sandbox.history import History, RequestLog, token_hash

from .conftest import NO_RESPONSE


def made(sandbox):
    return [each for each in sandbox.history.conversions if each.made_at]


def test_a_conversion_names_the_request_that_made_it(start):
    sandbox, api = start(conversions=2)
    lead, other = sandbox.leads[:2]
    response = api.post(lead)
    theirs = sandbox.add_conversion(other)
    ours, others = made(sandbox)
    (request,) = sandbox.history.requests
    assert ours.request_id == request.request_id == response.headers["X-Request-Id"]
    assert request.time <= ours.made_at == ours.listed_from == ours.found_from <= request.answered_at
    assert (others.request_id, others.conversion.id) == (None, theirs["id"])
    assert [each.conversion.id for each in sandbox.history.conversions] == [
        row["id"] for row in reversed(sandbox.conversions)
    ]


@pytest.mark.parametrize("fault", ["drop_after", "truncated_body"])
def test_a_lost_response_has_an_effect_but_no_answer(start, fault):
    sandbox, api = start(faults=[fault])
    with pytest.raises(NO_RESPONSE):
        api.post(sandbox.leads[0])
    (request,), (conversion,) = sandbox.history.requests, made(sandbox)
    assert conversion.request_id == request.request_id
    assert request.answered_at is None


def test_a_late_commit_belongs_to_its_request(start):
    sandbox, api = start(faults=["late_commit,seconds=0.1"])
    with pytest.raises(NO_RESPONSE):
        api.post(sandbox.leads[0])
    assert made(sandbox) == []
    time.sleep(0.15)
    (request,), (conversion,) = sandbox.history.requests, made(sandbox)
    assert conversion.request_id == request.request_id
    assert conversion.made_at >= request.time + 0.1


def test_delayed_visibility_is_recorded(start):
    sandbox, api = start(faults=["late_visible,seconds=5", "lookup_lag,seconds=9"])
    api.post(sandbox.leads[0])
    (conversion,) = made(sandbox)
    assert conversion.listed_from == pytest.approx(conversion.made_at + 5)
    assert conversion.found_from == pytest.approx(conversion.made_at + 9)


def test_a_removed_conversion_stays_in_the_history(start):
    sandbox, _ = start(conversions=3)
    before = [each.conversion for each in sandbox.history.conversions]
    sandbox.remove_conversion(before[1].id)
    after = sandbox.history.conversions
    assert [each.conversion for each in after] == before
    assert [each.removed_at is None for each in after] == [True, False, True]
    with pytest.raises(KeyError):
        sandbox.remove_conversion(before[1].id)


def test_requests_stay_in_the_history_when_they_are_cleared(start):
    sandbox, api = start(conversions=1)
    api.get()
    sandbox.clear_requests()
    assert sandbox.requests == []
    assert [request.status for request in sandbox.history.requests] == [200]
    assert len(RequestLog().all_entries()) == 0


def test_tokens_are_told_apart_by_their_hashes(start):
    sandbox, api = start(conversions=1)
    sandbox.add_token("other")
    sandbox.revoke_token("other")
    assert set(sandbox.history.tokens) == {token_hash(sandbox.token), token_hash("other")}
    api.get()
    api.session.headers.pop("Authorization")
    api.get()
    assert [request.token_hash for request in sandbox.history.requests] == [token_hash(sandbox.token), None]
    assert sandbox.token not in repr(sandbox.history)


def test_the_control_serves_the_same_history(start):
    sandbox, api = start(conversions=2)
    api.post(sandbox.leads[0])
    served = requests.get(sandbox.base_url + "/_sandbox/history").content
    assert msgspec.json.decode(served, type=History) == sandbox.history
