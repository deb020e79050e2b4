from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from airflow_provider_leadconv.sandbox import Fault
from airflow_provider_leadconv.sandbox.faults import FAULTS, FaultInjector

from .conftest import code, ids

NO_ANSWER = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError)


def next_link(response):
    return response.json()["meta"]["links"]["next_page"]


def next_cursor(response):
    return parse_qs(urlsplit(next_link(response)).query)["cursor"][0]


def test_forms_on_the_command_line():
    assert Fault.parse("error_500") == Fault(name="error_500")
    assert Fault.parse("error_500:0.3") == Fault(name="error_500", share=0.3)
    expected = Fault(name="stall", share=0.3, method="POST", times=5, seconds=2.0)
    assert Fault.parse("stall,share=0.3,method=POST,times=5,seconds=2") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "error_500:2",
        "error_500:x",
        "error_500,share",
        "error_500,colour=red",
        "error_500,seconds=1",
        "error_500,method=PUT",
        "error_500,times=-1",
        "drop_after,method=GET",
        "stall,seconds=-1",
        "stall,seconds=nan",
    ],
)
def test_bad_texts(text):
    with pytest.raises(ValueError):
        Fault.parse(text)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match="drop_after"):
        Fault(name="nonsense")


def test_share_and_times_follow_the_seed():
    one, other = (FaultInjector(["error_500:0.3"], seed=3) for _ in range(2))
    struck = [one.strike("GET").label for _ in range(1000)]
    assert struck == [other.strike("GET").label for _ in range(1000)]
    assert 250 < struck.count("error_500") < 350
    limited = FaultInjector(["error_500,times=2", "lookup_lag"])
    assert [limited.strike("POST").label for _ in range(3)] == ["error_500+lookup_lag"] * 2 + ["lookup_lag"]


ANSWERS = [
    ("throttle_429", 429, "rate_limit_exceeded"),
    ("throttle_429_empty", 429, ""),
    ("throttle_404", 404, "/429.json"),
    ("throttle_409", 409, "conflict"),
    ("error_500", 500, "server_error"),
    ("error_500_bare", 500, '"status":500'),
    ("error_200_bare", 200, '"status":500'),
    ("error_500_empty", 500, ""),
    ("error_503", 503, "temporarily_unavailable"),
    ("error_502_html", 502, "<title>502 Bad Gateway"),
    ("error_504_html", 504, "<title>504 Gateway Time-out"),
    ("html_200", 200, "<html>"),
    ("no_meta_error", 400, "message"),
]


@pytest.mark.parametrize(("name", "status", "text"), ANSWERS)
def test_answers_instead(start, name, status, text):
    sandbox, api = start(faults=[name])
    for response in (api.get(), api.post(sandbox.leads[0])):
        assert response.status_code == status
        assert text in response.text
        assert bool(text) == bool(response.content)
    assert sandbox.conversions == []
    assert [entry.fault for entry in sandbox.requests] == [name, name]


def test_redirect(start):
    _, api = start(faults=["redirect"], foreign_url="http://127.0.0.1:9")
    response = api.get()
    assert response.status_code == 307
    assert response.headers["Location"] == "http://127.0.0.1:9/v2/lead_conversions"


@pytest.mark.parametrize(("name", "made"), [("drop_before", 0), ("drop_after", 1)])
def test_drops(start, name, made):
    sandbox, api = start(faults=[f"{name},method=POST"])
    with pytest.raises(NO_ANSWER):
        api.post(sandbox.leads[0])
    assert len(sandbox.conversions) == made
    assert sandbox.requests[0].status is None
    assert api.get().status_code == 200


@pytest.mark.parametrize(("name", "status"), [("error_500_after", 500), ("error_504_html_after", 504)])
def test_errors_after_the_work(start, name, status):
    sandbox, api = start(faults=[name])
    assert api.post(sandbox.leads[0]).status_code == status
    assert len(sandbox.conversions) == 1


def test_late_commit(start):
    sandbox, api = start(faults=["late_commit,seconds=0.3"])
    lead = sandbox.leads[0]
    with pytest.raises(NO_ANSWER):
        api.post(lead)
    assert ids(api.get(lead_id=lead)) == []
    time.sleep(0.35)
    assert ids(api.get(lead_id=lead)) == [sandbox.conversions[0]["id"]]


def test_late_answer_and_stall(start):
    sandbox, api = start(faults=["late_answer,seconds=0.3,times=2", "stall,seconds=30"])
    first, second, third = sandbox.leads[:3]
    begun = time.monotonic()
    assert api.post(first).status_code == 200
    assert time.monotonic() - begun >= 0.3
    with pytest.raises(requests.ReadTimeout):
        api.post(second, timeout=0.1)
    with pytest.raises(requests.ReadTimeout):
        api.post(third, timeout=0.1)
    assert sandbox.conversion_counts == {first: 1, second: 1}


@pytest.mark.parametrize(("name", "listed"), [("late_visible", 0), ("lookup_lag", 1)])
def test_sight(start, name, listed):
    sandbox, api = start(faults=[f"{name},seconds=0.3"])
    lead = sandbox.leads[0]
    assert api.post(lead).status_code == 200
    assert len(ids(api.get())) == listed
    assert ids(api.get(lead_id=lead)) == []
    time.sleep(0.35)
    assert len(ids(api.get())) == len(ids(api.get(lead_id=lead))) == 1


def test_broken_bodies(start):
    _, api = start(conversions=30, faults=["truncated_body,times=1", "cut_json,times=1"])
    with pytest.raises(NO_ANSWER):
        api.get()
    cut = api.get()
    assert int(cut.headers["Content-Length"]) == len(cut.content)
    with pytest.raises(ValueError):
        cut.json()
    assert api.get().status_code == 200


@pytest.mark.parametrize("name", ["trickle_body", "trickle_headers"])
def test_trickles(start, name):
    _, api = start(conversions=3, faults=[f"{name},seconds=0.5"])
    begun = time.monotonic()
    # Each byte comes within the read timeout, the whole does not.
    assert len(ids(api.get(timeout=0.4))) == 3
    assert time.monotonic() - begun >= 0.5


def test_huge_body(start):
    _, api = start(conversions=3, faults=["huge_body,times=1"])
    with api.session.get(api.url, stream=True, timeout=5) as response:
        assert int(response.headers["Content-Length"]) > 64 * 2**20
        assert response.raw.read(100) == b" " * 100
    assert len(ids(api.get())) == 3


def test_pages_that_contradict_themselves(start):
    sandbox, api = start(conversions=30)
    sandbox.faults = ["null_items"]
    assert api.get().json()["items"] is None
    sandbox.faults = ["missing_items"]
    assert "items" not in api.get().json()
    sandbox.faults = ["count_too_high_empty"]
    assert (ids(api.get()), api.get().json()["meta"]["count"]) == ([], 25)
    sandbox.faults = ["count_too_low"]
    assert (len(ids(api.get())), api.get().json()["meta"]["count"]) == (25, 24)
    sandbox.faults = ["foreign_link"]
    assert next_link(api.get()).startswith("https://foreign.invalid/v2/lead_conversions?cursor=")
    sandbox.faults = ["ignored_filter"]
    assert len(ids(api.get(lead_id=5))) == 25


def test_pages_that_go_astray(start):
    sandbox, api = start(conversions=60)
    expected = [row["id"] for row in sandbox.conversions]
    cursor = next_cursor(api.get(per_page=10))
    sandbox.faults = ["repeat_cursor"]
    assert next_cursor(api.get(per_page=10, cursor=cursor)) == cursor
    assert ids(api.get(per_page=10, cursor=next_cursor(api.get(per_page=10)))) == expected[:10]
    sandbox.faults = ["repeat_rows"]
    assert ids(api.get(per_page=10)) == expected[:10]
    assert ids(api.get(per_page=10, cursor=cursor)) == expected[7:17]
    sandbox.faults = ["empty_page,times=1"]
    empty = api.get(per_page=10, cursor=cursor)
    assert ids(empty) == []
    assert ids(api.get(per_page=10, cursor=next_cursor(empty))) == expected[10:20]
    sandbox.faults = ["short_page,times=1"]
    short = api.get(per_page=10, cursor=cursor)
    assert ids(short) == expected[10:15]
    assert ids(api.get(per_page=10, cursor=next_cursor(short))) == expected[15:25]
    sandbox.faults = ["rising_ids"]
    assert ids(api.get(per_page=10)) == expected[:10]
    rising = ids(api.get(per_page=10, cursor=cursor))
    assert rising[1:] == expected[10:20]
    assert rising[0] > expected[0]


def test_every_fault_can_strike_without_breaking_the_sandbox(start):
    sandbox, api = start(leads=len(FAULTS) + 1, conversions=10)
    for (name, kind), lead in zip(FAULTS.items(), sandbox.leads, strict=False):
        sandbox.faults = [Fault(name=name, times=1, seconds=0.1 if kind.lasts else None)]
        try:
            api.get() if kind.methods == ("GET",) else api.post(lead)
        except NO_ANSWER:
            continue
    sandbox.faults = []
    assert api.get().status_code == 200
    assert code(api.post(5)) == "not_found"
