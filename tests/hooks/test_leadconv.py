"""The hook: its methods against the sandbox, and what the Test button says."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from itertools import islice

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_leadconv import __version__
from airflow_provider_leadconv.api.exceptions import ConnectionConfigError, InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionStatus
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from tests.support.responses import HTML, TOKEN, page, row
from tests.support.servers import Server, certificate, closed_port, hangs_up, http_response, says, silent


@pytest.fixture(autouse=True)
def _quick_retries(full_rate, monkeypatch):
    monkeypatch.setattr("airflow_provider_leadconv.api.retry.FIRST_DELAY", 0.001)


def connect(monkeypatch, conn_id="leadconv_default", **fields):
    monkeypatch.setenv(
        f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({"conn_type": "leadconv", "password": TOKEN, **fields})
    )


# Reading


def test_get_page_is_the_api_as_it_is(sandbox):
    hook = LeadConversionHook()
    first = hook.get_page(per_page=10)
    second = hook.get_page(per_page=10, cursor=first.next_cursor)
    assert hook.get_page(page=2, per_page=10).conversions == second.conversions
    listed = [conversion.id for conversion in first.conversions + second.conversions]
    assert listed == [conversion["id"] for conversion in sandbox.conversions[:20]]


def test_list_conversions_lists_all_newest_first(sandbox):
    listed = [conversion.to_dict() for conversion in LeadConversionHook().list_conversions(per_page=7)]
    assert [each["id"] for each in listed] == [each["id"] for each in sandbox.conversions]
    assert [each["lead_id"] for each in listed] == [each["lead_id"] for each in sandbox.conversions]


@pytest.mark.parametrize("limit", [0, 1, 7, 8, 99])
def test_list_conversions_stops_at_its_limit_and_asks_for_no_more(sandbox, limit):
    listed = list(LeadConversionHook().list_conversions(per_page=7, limit=limit))
    assert len(listed) == min(limit, 30)
    assert len(sandbox.requests) == -(-len(listed) // 7)


def test_list_conversions_filters_with_templates_too(sandbox):
    wanted = sandbox.conversions[4]
    found = list(LeadConversionHook().list_conversions(lead_id=str(wanted["lead_id"])))
    assert [conversion.id for conversion in found] == [wanted["id"]]


def test_list_conversions_is_lazy_and_checks_its_parameters_at_once(sandbox):
    hook = LeadConversionHook()
    listing = hook.list_conversions(per_page=5)
    assert sandbox.requests == []
    assert len(list(islice(listing, 6))) == 6
    assert len(sandbox.requests) == 2
    with pytest.raises(InvalidRequestError, match="per_page"):
        hook.list_conversions(per_page=201)


@pytest.mark.parametrize("kind", [int, str])
def test_list_since_lists_what_is_newer(sandbox, kind):
    watermark = sandbox.conversions[5]["id"]
    found = LeadConversionHook().list_since(kind(watermark))
    assert [conversion.id for conversion in found] == [each["id"] for each in sandbox.conversions[:5]]


@pytest.mark.parametrize("nothing", [0, None])
def test_list_since_the_beginning_lists_all(sandbox, nothing):
    assert len(list(LeadConversionHook().list_since(nothing))) == 30


@pytest.mark.parametrize("watermark", [-1, True, "x", 1.5])
def test_list_since_refuses_an_invalid_id(watermark):
    with pytest.raises(InvalidRequestError, match="after_id must be"):
        LeadConversionHook().list_since(watermark)


@pytest.mark.parametrize("key", ["lead_id", "individual_id", "organization_id", "deal_id"])
def test_get_conversion_finds_a_conversion_by_each_of_its_ids(sandbox, key):
    wanted = next(each for each in sandbox.conversions if each[key])
    assert LeadConversionHook().get_conversion(**{key: wanted[key], "creator_id": None}).id == wanted["id"]


def test_get_conversion_of_an_unconverted_lead_is_none(sandbox):
    assert LeadConversionHook().get_conversion(lead_id=sandbox.leads[0]) is None


@pytest.mark.parametrize("filters", [{}, {"creator_id": 1}, {"lead_id": 1, "deal_id": 2}, {"lead_id": None}])
def test_get_conversion_wants_exactly_one_id(filters):
    with pytest.raises(InvalidRequestError, match="exactly one of"):
        LeadConversionHook().get_conversion(**filters)


# Converting


def test_convert_lead_converts_once(sandbox):
    hook = LeadConversionHook()
    lead = sandbox.leads[0]
    made = hook.convert_lead(str(lead), owner_id=sandbox.owners[1], create_deal=False)
    again = hook.convert_lead(lead)
    assert (made.status, again.status) == (ConversionStatus.CONVERTED, ConversionStatus.EXISTING)
    assert made.conversion.deal_id is None
    assert made.conversion == again.conversion
    assert sandbox.conversion_counts[lead] == 1
    (post,) = (request for request in sandbox.requests if request.method == "POST")
    assert json.loads(post.body) == {"data": {"lead_id": lead, "owner_id": sandbox.owners[1], "create_deal": False}}


def test_convert_lead_leaves_defaults_to_the_api(sandbox):
    LeadConversionHook().convert_lead(sandbox.leads[0])
    (post,) = (request for request in sandbox.requests if request.method == "POST")
    assert set(json.loads(post.body)["data"]) == {"lead_id"}


def test_convert_lead_reports_a_refusal_as_failed(sandbox):
    (lead,) = sandbox.add_leads(1, convertible=False)
    result = LeadConversionHook().convert_lead(lead)
    assert result.status is ConversionStatus.FAILED
    assert "/data/lead_id: incorrect_value" in str(result.error)


@pytest.mark.parametrize("wrong", [{"lead_id": "x"}, {"lead_id": 1, "owner_id": 0}, {"lead_id": 1, "create_deal": 1}])
def test_convert_lead_refuses_invalid_arguments_before_any_request(sandbox, wrong):
    with pytest.raises(InvalidRequestError):
        LeadConversionHook().convert_lead(**wrong)
    assert sandbox.requests == []


def test_convert_leads_converts_each_once(sandbox):
    leads = sandbox.leads[:5]
    results = list(LeadConversionHook().convert_leads(leads))
    assert sorted(result.lead_id for result in results) == sorted(leads)
    assert {result.status for result in results} == {ConversionStatus.CONVERTED}
    assert sandbox.conversion_counts == dict.fromkeys(sandbox.conversion_counts, 1)


@pytest.mark.parametrize("form", [str, lambda lead: f"[{lead}]", lambda lead: {"lead_id": lead}])
def test_convert_leads_takes_one_lead(sandbox, form):
    lead = sandbox.leads[0]
    (result,) = LeadConversionHook().convert_leads(form(lead))
    assert (result.lead_id, result.status) == (lead, ConversionStatus.CONVERTED)


def test_convert_leads_does_not_take_the_digits_of_an_id_for_leads(sandbox):
    (result,) = LeadConversionHook().convert_leads("512")
    assert (result.lead_id, result.status) == (512, ConversionStatus.FAILED)


# The client


def test_the_connection_id_may_be_positional(sandbox, monkeypatch):
    connect(monkeypatch, "mine", host=sandbox.base_url, password=sandbox.token)
    assert LeadConversionHook("mine").get_conn().config.account == "mine"


def test_nothing_is_read_before_the_first_call():
    LeadConversionHook(leadconv_conn_id="not_there")


def test_the_client_is_made_once(sandbox):
    hook = LeadConversionHook()
    assert hook.get_conn() is hook.get_conn()


def test_the_user_agent_names_package_airflow_and_python(sandbox):
    LeadConversionHook().get_page()
    assert sandbox.requests[0].headers["user-agent"] == (
        f"airflow-provider-leadconv/{__version__} Airflow/{airflow_version} Python/{platform.python_version()}"
    )


def test_a_token_rotated_in_the_connection_is_picked_up(sandbox, monkeypatch):
    hook = LeadConversionHook()
    hook.get_page()
    sandbox.add_token("rotated-token")
    sandbox.revoke_token(sandbox.token)
    connect(monkeypatch, **sandbox.connection | {"password": "rotated-token"})
    assert hook.get_page().conversions
    assert [request.status for request in sandbox.requests] == [200, 401, 200]


def test_the_token_is_masked_in_airflows_logs(sandbox, monkeypatch):
    masked = []
    monkeypatch.setattr("airflow_provider_leadconv.hooks.leadconv.mask_secret", masked.append)
    LeadConversionHook().get_conn()
    assert masked == [sandbox.token]


def test_the_retry_timeout_can_be_cut_short(sandbox):
    assert LeadConversionHook(retry_timeout=10).get_conn().config.retry_timeout == 10
    assert LeadConversionHook(retry_timeout=0).get_conn().config.retry_timeout == 2, "one attempt has its timeout"


def test_an_invalid_connection_is_an_error_at_the_first_call(monkeypatch):
    connect(monkeypatch, extra={"time_out": 3})
    with pytest.raises(
        ConnectionConfigError,
        match=r"unknown key 'time_out'.* \(connection 'leadconv_default'\)",
    ):
        LeadConversionHook().get_conn()


# The Test button


def press(monkeypatch, url, **fields) -> tuple[bool, str]:
    monkeypatch.setattr("airflow_provider_leadconv.api.exchange.retry_delay", lambda *_, **__: None)  # tested elsewhere
    extra = {"timeout": 1, **fields.pop("extra", {})}
    connect(monkeypatch, host=url, **fields, extra=extra)
    worked, sentence = LeadConversionHook().test_connection()
    assert TOKEN not in sentence
    return worked, sentence


def test_the_test_button_asks_for_one_row_with_the_scope_read(sandbox, monkeypatch):
    sandbox.add_token("reader", ["read"])
    worked, sentence = press(monkeypatch, sandbox.base_url, password="reader")
    assert (worked, sentence) == (True, f"Connected to {sandbox.base_url}: the token may read lead conversions.")
    assert [(request.method, request.query_string) for request in sandbox.requests] == [("GET", "per_page=1")]


ENVELOPE = json.dumps(page(row(1), count=0)).encode()
STATUSES = {
    "401": (
        http_response(b"", status="401 Unauthorized"),
        ["answered 401", "A token of Zendesk Support is not valid for Sell", "OAuth > Access Tokens"],
    ),
    "403": (http_response(b"", status="403 Forbidden"), ["answered 403", "Check the scopes of the token"]),
    "404": (
        http_response(HTML, status="404 Not Found"),
        ["answered 404", "Correct the host of the connection: it has no such path"],
    ),
    "redirect": (http_response(b"", status="302 Found"), ["answered 302", "redirects are not followed"]),
    "HTML 200": (http_response(HTML), ["unreadable body", "504 Gateway Time-out"]),
    "429": (http_response(b"", status="429 Too Many Requests"), ["answered 429", "requests_per_second"]),
    "503": (http_response(b"", status="503 Unavailable"), ["answered 503", "status.zendesk.com"]),
    "contradiction": (http_response(ENVELOPE), ["a page of 1 items whose meta.count is 0"]),
}


@pytest.mark.parametrize(("data", "words"), STATUSES.values(), ids=STATUSES.keys())
def test_the_test_button_explains_each_response(data, words, monkeypatch):
    with Server(says(data)) as server:
        worked, sentence = press(monkeypatch, server.url)
    assert not worked
    for word in words:
        assert word in sentence


def test_the_test_button_explains_each_connection_failure_in_one_sentence(monkeypatch, tmp_path):
    context = certificate(tmp_path, "127.0.0.1")[1]
    with (
        Server(silent) as mute,
        Server(hangs_up) as rude,
        Server(says(b""), context) as untrusted,
        closed_port() as port,
    ):
        sentences = {
            "no complete response from": press(monkeypatch, mute.url),
            "was closed or corrupted before": press(monkeypatch, rude.url),
            "is not trusted: self-signed certificate": press(monkeypatch, untrusted.url),
            "Connection refused": press(monkeypatch, f"http://127.0.0.1:{port}"),
            "no connection to https://no-such-host.invalid": press(monkeypatch, "https://no-such-host.invalid"),
            "the password is empty. Put an access token of Sell into": press(monkeypatch, mute.url, password=""),
            "unknown key 'x' in extra": press(monkeypatch, mute.url, extra={"x": 1}),
        }
    for words, (worked, sentence) in sentences.items():
        assert not worked
        assert words in sentence
        assert sentence.endswith(".")
    assert len(set(sentences.values())) == len(sentences)


# Importing

IMPORTING = """
import socket, sys
import airflow.providers.common.compat.sdk as sdk
sdk.BaseHook, sdk.mask_secret
before = set(sys.modules)
def refuse(*_, **__): raise AssertionError("a socket was made")
socket.socket.__init__ = socket.getaddrinfo = refuse
import airflow_provider_leadconv.hooks.leadconv as hook
hook.LeadConversionHook()
heavy = {"requests", "urllib3", "httpx2", "pyarrow", "fastapi", "uvicorn"}
print(sorted(heavy & (set(sys.modules) - before)))
"""


def test_importing_the_hook_opens_no_socket_and_loads_no_http_client():
    done = subprocess.run([sys.executable, "-c", IMPORTING], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
