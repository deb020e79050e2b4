from __future__ import annotations

import ast
import re
import time
from pathlib import Path
from typing import get_args

import pytest

from airflow_provider_leadconv.sandbox import Fault, Sandbox, faults
from airflow_provider_leadconv.sandbox.faults import FAULTS, THROTTLES, ThrottleShape
from airflow_provider_leadconv.sandbox.parsing import encode_cursor
from airflow_provider_leadconv.sandbox.settings import SandboxSettings

from .conftest import NO_RESPONSE, Api, code, ids, next_cursor, next_link


def test_each_form_of_text_is_parsed():
    assert Fault.parse(Fault(name="error_500")) == Fault(name="error_500")
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
def test_invalid_text_is_an_error(text):
    with pytest.raises(ValueError):
        Fault.parse(text)


def test_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match="drop_after"):
        Fault(name="nonsense")


REPLACEMENTS = [
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
    ("retired", 410, "gone"),
]


@pytest.mark.parametrize(("name", "status", "text"), REPLACEMENTS)
def test_replaced_response_does_no_work(start, name, status, text):
    sandbox, api = start(faults=[name])
    for response in (api.get(), api.post(sandbox.leads[0])):
        assert response.status_code == status
        assert text in response.text
        assert bool(text) == bool(response.content)
    assert sandbox.conversions == []
    assert [entry.fault for entry in sandbox.requests] == [name, name]


def test_redirect_leads_to_another_host(start):
    _, api = start(faults=["redirect"], foreign_url="http://127.0.0.1:9")
    response = api.get()
    assert response.status_code == 307
    assert response.headers["Location"] == "http://127.0.0.1:9/v2/lead_conversions"


@pytest.mark.parametrize(("name", "made"), [("drop_before", 0), ("drop_after", 1)])
def test_dropped_connection_before_and_after_the_work(start, name, made):
    sandbox, api = start(faults=[f"{name},method=POST"])
    with pytest.raises(NO_RESPONSE):
        api.post(sandbox.leads[0])
    assert len(sandbox.conversions) == made
    assert sandbox.requests[0].status is None
    assert api.get().status_code == 200


@pytest.mark.parametrize(("name", "status"), [("error_500_after", 500), ("error_504_html_after", 504)])
def test_error_after_the_work_leaves_a_conversion(start, name, status):
    sandbox, api = start(faults=[name])
    assert api.post(sandbox.leads[0]).status_code == status
    assert len(sandbox.conversions) == 1


def test_late_commit_converts_after_its_duration(start):
    sandbox, api = start(faults=["late_commit,seconds=0.3"])
    lead = sandbox.leads[0]
    with pytest.raises(NO_RESPONSE):
        api.post(lead)
    assert ids(api.get(lead_id=lead)) == []
    time.sleep(0.35)
    assert ids(api.get(lead_id=lead)) == [sandbox.conversions[0]["id"]]


@pytest.mark.parametrize(("name", "listed"), [("late_visible", 0), ("lookup_lag", 1)])
def test_delayed_visibility_ends_after_its_duration(start, name, listed):
    sandbox, api = start(faults=[f"{name},seconds=0.3"])
    lead = sandbox.leads[0]
    assert api.post(lead).status_code == 200
    assert len(ids(api.get())) == listed
    assert ids(api.get(lead_id=lead)) == []
    time.sleep(0.35)
    assert len(ids(api.get())) == len(ids(api.get(lead_id=lead))) == 1


def test_contradictory_pages(start):
    sandbox, api = start(conversions=30)
    sandbox.faults = ["null_items"]
    assert api.get().json()["items"] is None
    sandbox.faults = ["missing_items"]
    assert "items" not in api.get().json()
    sandbox.faults = ["count_too_high_empty"]
    assert (ids(api.get()), api.get().json()["meta"]["count"]) == ([], 25)
    sandbox.faults = ["count_too_low"]
    assert (len(ids(api.get())), api.get().json()["meta"]["count"]) == (25, 24)
    sandbox.faults = ["missing_rows"]
    assert (len(ids(api.get())), api.get().json()["meta"]["count"]) == (13, 25)
    assert next_link(api.get())
    sandbox.faults = ["total_count"]
    assert (len(ids(api.get())), api.get().json()["meta"]["count"]) == (25, 30)
    sandbox.faults = ["foreign_link"]
    assert next_link(api.get()).startswith(f"{sandbox.settings.foreign_url}/v2/lead_conversions?cursor=")
    sandbox.faults = ["ignored_filter"]
    assert len(ids(api.get(lead_id=5))) == 25


def test_pages_with_wrong_rows_or_links(start):
    sandbox, api = start(conversions=60)
    expected = [row["id"] for row in sandbox.conversions]
    cursor = next_cursor(api.get(per_page=10))
    sandbox.faults = ["repeat_cursor"]
    assert next_cursor(api.get(per_page=10, cursor=cursor)) == cursor
    assert ids(api.get(per_page=10, cursor=next_cursor(api.get(per_page=10)))) == expected[:10]
    sandbox.faults = ["expired_cursor"]
    assert ids(api.get(per_page=10)) == expected[:10]
    expired = api.get(per_page=10, cursor=cursor)
    assert (expired.status_code, code(expired)) == (400, "invalid_param")
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


def test_every_fault_leaves_the_sandbox_working(start):
    sandbox, api = start(leads=len(FAULTS) + 1, conversions=10)
    for (name, kind), lead in zip(FAULTS.items(), sandbox.leads, strict=False):
        sandbox.faults = [Fault(name=name, times=1, seconds=0.1 if kind.lasts else None)]
        try:
            api.get() if kind.methods == ("GET",) else api.post(lead)
        except NO_RESPONSE:
            continue
    sandbox.faults = []
    assert api.get().status_code == 200
    assert code(api.post(5)) == "not_found"


def observe(*faults):
    """Return what a client sees of a fixed series of requests, without the times and ids that always differ."""
    seen = []
    with Sandbox(leads=2, conversions=30, faults=faults, link_base="https://api.getbase.com") as sandbox:
        api = Api(sandbox)
        lead, cursor = sandbox.leads[0], encode_cursor(sandbox.conversions[9]["id"])
        for call in (
            lambda: api.get(lead_id=5),
            lambda: api.get(per_page=10),
            lambda: api.get(per_page=10, cursor=cursor),
            lambda: api.post(lead),
            lambda: api.get(per_page=10),
            lambda: api.get(lead_id=lead),
        ):
            begun = time.monotonic()
            try:
                response = call()
                text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4,12}){4}|[0-9T:-]{19}Z", "", response.text)
                seen.append((response.status_code, text, response.headers.get("Content-Length")))
            except NO_RESPONSE as error:
                seen.append(type(error))
            seen.append(time.monotonic() - begun > 0.3)
    return seen


@pytest.fixture(scope="module")
def undisturbed():
    return observe()


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_has_an_effect_that_a_client_sees(undisturbed, name):
    seconds = 0.4 if FAULTS[name].lasts else None
    assert observe(Fault(name=name, times=3, seconds=seconds)) != undisturbed


def test_faults_that_do_not_apply_have_no_effect(undisturbed):
    assert observe(*[Fault(name=name, share=0) for name in FAULTS]) == undisturbed


def test_faults_are_named_only_where_they_are_declared():
    named = {
        (module.name, node.value)
        for module in Path(faults.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Constant) and node.value in FAULTS
    }
    assert {name for module, name in named if module == "faults.py"} == set(FAULTS)
    elsewhere = {(module, name) for module, name in named if module != "faults.py"}
    assert elsewhere == {("settings.py", SandboxSettings().throttle_shape)}


def test_throttle_shapes_are_the_throttling_faults():
    assert get_args(ThrottleShape) == tuple(THROTTLES)
