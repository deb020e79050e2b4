"""One request, repeated until it is answered or given up, on a simulated clock."""

from __future__ import annotations

import io
import json
import logging
import pickle
import pprint
import traceback
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import msgspec
import pytest
import rich.console
import rich.pretty

from airflow_provider_leadconv.api.codec import read_page
from airflow_provider_leadconv.api.config import Secret
from airflow_provider_leadconv.api.exceptions import (
    AuthenticationError,
    ConnectionConfigError,
    InvalidRequestError,
    InvalidResponseError,
    LeadConversionError,
    PermissionDeniedError,
    RateLimitedError,
    RetiredError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.exchange import RenewToken, Send, Wait
from airflow_provider_leadconv.api.http import TransportFailure
from airflow_provider_leadconv.api.models import ConversionRequest
from airflow_provider_leadconv.api.queries import ListQuery
from tests.support.responses import (
    AFTER,
    ALREADY,
    BEFORE,
    HTML,
    LOST,
    NOT_SENT,
    THROTTLED_AS_404,
    TOKEN,
    UNAUTHORIZED,
    UNFORESEEN,
    Clock,
    client,
    envelope,
    page,
    response,
    row,
    scripted,
    single,
)

ALL = ListQuery()
LEAD = ConversionRequest(5)
ONE_ROW = response(200, page(row(1)))
DONE = response(201, single(9, 5))
TOO_MANY = response(429)
BARE_500 = response(500, {"status": 500, "error": "Internal Server Error"})
GATEWAY = response(504, HTML)
UNTRUSTED = TransportFailure(sent=False, reason="the certificate is not trusted", misconfigured=True)

CALLS = {"GET": lambda made: made.get_page(ALL), "POST": lambda made: made.post(LEAD)}

THROTTLINGS = {
    "429": response(429, envelope("429 Too Many Requests", "rate_limit_exceeded")),
    "429, empty": TOO_MANY,
    "404 that names /429.json": THROTTLED_AS_404,
}


@pytest.mark.parametrize("throttling", THROTTLINGS.values(), ids=THROTTLINGS.keys())
@pytest.mark.parametrize("method", CALLS)
def test_throttling_is_waited_out_by_reads_and_conversions(method, throttling):
    made, script = scripted(throttling, throttling, DONE if method == "POST" else ONE_ROW)
    assert CALLS[method](made)
    assert [request.method for request in script.requests] == [method] * 3
    assert (made.counters.requests, made.counters.throttled) == (3, 2)


@pytest.mark.parametrize(
    "bad", [response(409), BARE_500, GATEWAY, response(503), response(200, HTML), response(200, b"{"), LOST, NOT_SENT]
)
def test_what_may_pass_is_waited_out_by_reads(bad):
    made, script = scripted(bad, bad, ONE_ROW)
    assert made.get_page(ALL).conversions
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    "bad",
    [
        LOST,
        *map(response, (307, 408, 409, 500, 503, 200)),
        BARE_500,
        GATEWAY,
        response(200, HTML),
        response(201, single(9, 6)),
        response(200, {"status": 500, "error": "x"}),
        UNFORESEEN,
    ],
)
def test_a_conversion_in_doubt_is_never_sent_again(bad):
    made, script = scripted(bad, DONE)
    with pytest.raises(UnknownOutcomeError) as caught:
        made.post(LEAD)
    assert len(script.requests) == 1
    assert caught.value.sent_at == script.times[0]


def test_a_conversion_that_was_not_sent_is_sent_again():
    made, script = scripted(NOT_SENT, NOT_SENT, DONE)
    assert made.post(LEAD).id == 9
    assert len(script.requests) == 3


def test_a_conversion_that_overran_its_timeout_counts_as_sent_at_its_end():
    # A machine that slept: the request may have left when it woke.
    made, script = scripted(LOST, seconds=500.0, timeout=30.0)
    with pytest.raises(UnknownOutcomeError) as caught:
        made.post(LEAD)
    assert caught.value.sent_at == script.times[0] + 500


FOREVER = {
    "429": (TOO_MANY, RateLimitedError, RateLimitedError),
    "429 with Retry-After 0": (response(429, retry_after="0"), RateLimitedError, RateLimitedError),
    "429 with Retry-After 3600": (response(429, retry_after="3600"), RateLimitedError, RateLimitedError),
    "404 that names /429.json": (THROTTLED_AS_404, RateLimitedError, RateLimitedError),
    "409": (response(409), RateLimitedError, UnknownOutcomeError),
    "500": (BARE_500, UnavailableError, UnknownOutcomeError),
    "503 with Retry-After 0": (response(503, retry_after="0"), UnavailableError, UnknownOutcomeError),
    "504 HTML": (GATEWAY, UnavailableError, UnknownOutcomeError),
    "408": (response(408), UnavailableError, UnknownOutcomeError),
    "200 that says 500": (response(200, {"status": 500, "error": "x"}), UnavailableError, UnknownOutcomeError),
    "HTML 200": (response(200, HTML), InvalidResponseError, UnknownOutcomeError),
    "items: null": (response(200, {"items": None}), InvalidResponseError, UnknownOutcomeError),
    "not sent": (NOT_SENT, UnavailableError, UnavailableError),
    "lost": (LOST, UnavailableError, UnknownOutcomeError),
    "unforeseen": (UNFORESEEN, InvalidResponseError, UnknownOutcomeError),
    "bad certificate": (UNTRUSTED, ConnectionConfigError, ConnectionConfigError),
    "redirect": (response(302), ConnectionConfigError, UnknownOutcomeError),
    "401": (UNAUTHORIZED, AuthenticationError, AuthenticationError),
    "403": (response(403), PermissionDeniedError, PermissionDeniedError),
    "400": (response(400, {"message": "no"}), InvalidRequestError, InvalidRequestError),
    "422": (ALREADY, InvalidRequestError, InvalidRequestError),
}


@pytest.mark.parametrize(("method", "place"), [("GET", 1), ("POST", 2)])
@pytest.mark.parametrize("name", FOREVER)
@pytest.mark.parametrize("seconds", [0.1, 30.0], ids=["at once", "after the whole timeout"])
def test_every_bad_response_ends_in_its_own_error_within_the_retry_timeout(name, method, place, seconds):
    made, script = scripted(FOREVER[name][0], seconds=seconds, renew_token=lambda: TOKEN)
    start = made.clock()
    with pytest.raises(LeadConversionError) as caught:
        CALLS[method](made)
    assert type(caught.value) is FOREVER[name][place]
    assert made.clock() - start <= made.config.retry_timeout
    assert len(script.requests) < 200, "knocks too often"


def test_unavailability_is_worth_most_of_the_retry_timeout():
    made, script = scripted(response(503))
    with pytest.raises(UnavailableError):
        made.get_page(ALL)
    assert script.times[-1] - script.times[0] > 200


def test_retry_after_is_waited_for():
    made, script = scripted(response(503, retry_after="42"), ONE_ROW)
    made.get_page(ALL)
    assert 42 <= script.times[1] - script.times[0] < 44


def test_a_wait_for_a_slot_counts_against_the_retry_timeout():
    # At 1 request in 100 s the back-off is over long before the next slot.
    made, script = scripted(response(503), requests_per_second=0.01, retry_timeout=90.0)
    start = made.clock()
    with pytest.raises(UnavailableError):
        made.get_page(ALL)
    assert len(script.requests) == 1
    assert made.clock() - start < 110


# The token


def test_after_a_401_the_token_is_read_again_and_the_request_repeated():
    reads = []
    made, script = scripted(UNAUTHORIZED, ONE_ROW, ONE_ROW, renew_token=lambda: reads.append(1) or "rotated")
    made.get_page(ALL)
    made.get_page(ALL)
    assert script.tokens == [TOKEN, "rotated", "rotated"]
    assert reads == [1]


def test_a_conversion_refused_for_its_token_was_not_made_and_is_repeated_with_the_new_one():
    made, script = scripted(UNAUTHORIZED, DONE, renew_token=lambda: "rotated")
    assert made.post(LEAD).id == 9
    assert script.tokens == [TOKEN, "rotated"]


@pytest.mark.parametrize(
    ("renewals", "attempts"), [([TOKEN], 1), (["rotated", "again"], 2)], ids=["same token", "new token is bad too"]
)
def test_the_token_is_read_again_once_a_request(renewals, attempts):
    given = iter(renewals)
    reads = []
    made, script = scripted(UNAUTHORIZED, renew_token=lambda: reads.append(1) or next(given))
    with pytest.raises(AuthenticationError):
        made.get_page(ALL)
    assert (len(script.requests), len(reads)) == (attempts, 1)


def test_without_a_way_to_read_the_token_again_a_401_is_final():
    made, script = scripted(UNAUTHORIZED)
    with pytest.raises(AuthenticationError):
        made.get_page(ALL)
    assert len(script.requests) == 1


def test_threads_that_share_a_rotated_token_all_go_on_with_the_new_one():
    threads = 8
    first = Barrier(threads)
    reads = []

    class Server:
        def __call__(self, request, token):
            if token == TOKEN:
                first.wait(10)
                return UNAUTHORIZED
            return ONE_ROW

        def close(self):
            pass

    made = client(Server(), Clock(), lambda: reads.append(1) or "rotated")
    with ThreadPoolExecutor(threads) as pool:
        pages = list(pool.map(lambda _: made.get_page(ALL), range(threads)))
    assert len(pages) == threads
    assert 1 <= len(reads) <= threads
    made.get_page(ALL)
    assert len(reads) <= threads


def test_a_401_to_a_token_that_was_replaced_meanwhile_reads_nothing():
    exchange = scripted(ONE_ROW)[0]._exchange
    slow, quick = (exchange.steps(ALL.request(), lambda reply: read_page(reply, ALL)) for _ in range(2))
    assert _skip_waits(exchange, slow).token == _skip_waits(exchange, quick).token == TOKEN
    assert isinstance(_skip_waits(exchange, quick, UNAUTHORIZED), RenewToken)
    assert _skip_waits(exchange, quick, "rotated").token == "rotated"
    step = _skip_waits(exchange, slow, UNAUTHORIZED)
    assert isinstance(step, Send)
    assert step.token == "rotated"


def _skip_waits(exchange, steps, result=None):
    while isinstance(step := steps.send(result), Wait):
        exchange._clock.sleep(step.seconds)
        result = None
    return step


# No token in anything that is shown


def escaped(text: str) -> str:
    """Every character as JSON may write it."""
    return "".join(f"\\u{ord(each):04X}" for each in text)


def quoted_all(text: str) -> str:
    return "".join(f"%{ord(each):02x}" for each in text)


ECHOES = {
    "in a field": response(
        400, envelope("400", "invalid_header", f"Authorization: Bearer {TOKEN} is bad", logref=TOKEN)
    ),
    "in a code": response(422, envelope("422", TOKEN, TOKEN, field=TOKEN)),
    "in a code that is cut": response(422, envelope("422", "x" * 190 + TOKEN, "y" * 180 + TOKEN)),
    "escaped by JSON": response(422, f'{{"errors": [{{"error": {{"details": "{escaped(TOKEN)}"}}}}]}}'.encode()),
    "half of it escaped": response(
        422, f'{{"errors": [{{"error": {{"code": "{TOKEN[:9]}{escaped(TOKEN[9:])}"}}}}]}}'.encode()
    ),
    "JSON in JSON": response(422, envelope("422", "bad", f'{{"token": "{escaped(TOKEN)}"}}')),
    "escaped by percents": response(422, envelope("422", "bad", f"Bearer%20{quoted_all(TOKEN)}")),
    "in upper case": response(422, envelope("422", "bad", TOKEN.upper())),
    **{
        f"in base64 after {shift}": response(
            422, envelope("422", "bad", f"got {b64encode((' ' * shift + 'Bearer ' + TOKEN).encode()).decode()}")
        )
        for shift in range(4)
    },
    "in a message": response(500, {"message": f"no {TOKEN}"}),
    "in a key": response(500, {"message": {TOKEN: TOKEN}, "errors": [{"error": {"code": {TOKEN: 1}}}]}),
    "in a title": response(500, f"<html><title>{TOKEN}</title></html>".encode()),
    "escaped in a title": response(500, f"<title>{''.join(f'&#{ord(each)};' for each in TOKEN)}</title>".encode()),
    "in broken JSON": response(500, f'{{"message": "{escaped(TOKEN)}", "message'.encode()),
    "in the content type": response(500, b"?", content_type=f"text/{TOKEN}"),
    "in HTML": response(500, f"<html>{TOKEN}</html>".encode()),
    "in a 200": response(200, f"Bearer {TOKEN}".encode()),
    "at the edge of the excerpt": response(500, b"x" * 280 + TOKEN.encode()),
    "in headers": response(500, b"", x_request_id=TOKEN, retry_after=f"0 {TOKEN}"),
    "in a 401": response(401, envelope("401", "unauthorized", f"token {TOKEN} expired")),
    "in the content encoding": msgspec.structs.replace(response(200), unreadable=f"a body in the encoding '{TOKEN}'"),
    "in a row": response(200, page(row(1, x=TOKEN), count=0)),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("method", CALLS)
def test_no_token_of_an_echoing_server_is_in_an_error_or_the_log(method, echo, caplog):
    caplog.set_level(logging.DEBUG)
    made, script = scripted(echo)
    with pytest.raises(LeadConversionError) as caught:
        CALLS[method](made)
    shown = "".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)) + caplog.text
    shown += pickle.dumps(caught.value, 0).decode("latin-1")
    assert script.tokens
    shown = shown.casefold()
    for hidden in (escaped(TOKEN).casefold(), quoted_all(TOKEN), b64encode(TOKEN.encode()).decode().casefold()[:20]):
        assert hidden not in shown
    for token in script.tokens:
        assert token.reveal()[:20] not in shown


def test_nothing_that_holds_the_token_shows_it():
    made, _ = scripted(ONE_ROW, proxy=f"http://user:{TOKEN}@proxy.example")
    exchange = made._exchange
    steps = exchange.steps(ALL.request(), lambda reply: reply)
    reply = msgspec.structs.replace(ONE_ROW, secret=Secret(TOKEN))
    held = [made, made.config, exchange, steps, _skip_waits(exchange, steps), reply, *map(vars, (made, exchange))]
    structlog = pytest.importorskip("structlog")  # which Airflow 3 logs with
    console = rich.console.Console(file=io.StringIO(), width=1000)
    for thing in held:
        console.print(thing, rich.pretty.Pretty(thing))
        console.file.write(f"{thing!r} {thing} {pprint.pformat(thing)} {rich.pretty.pretty_repr(thing)}")
        console.file.write(structlog.dev.ConsoleRenderer()(None, "", {"event": "x", "thing": thing}))
        console.file.write(str(structlog.processors.JSONRenderer()(None, "", {"event": "x", "thing": thing})))
        console.file.write(json.dumps(thing, default=repr))
    assert "***" in console.file.getvalue()
    assert TOKEN not in console.file.getvalue()


NOT_FOUND = response(404, envelope("404 Not Found", "not_found"))
REDIRECT = response(301, b"", location="https://www.zendesk.com/")
UNTRUSTED = TransportFailure(sent=False, reason="the certificate is not trusted", misconfigured=True)
ONE_LEAD = ListQuery(lead_id=5)
AT_RETIREMENT = {
    "401": (UNAUTHORIZED, ALL, AuthenticationError, RetiredError),
    "403": (response(403), ALL, PermissionDeniedError, RetiredError),
    "404": (NOT_FOUND, ALL, InvalidRequestError, RetiredError),
    "404 to a look-up": (NOT_FOUND, ONE_LEAD, None, RetiredError),
    "404, HTML": (response(404, HTML), ALL, ConnectionConfigError, RetiredError),
    "410": (response(410), ALL, RetiredError, RetiredError),
    "redirect": (REDIRECT, ALL, ConnectionConfigError, RetiredError),
    "200, HTML": (response(200, HTML), ALL, InvalidResponseError, InvalidResponseError),
    "503": (response(503), ALL, UnavailableError, UnavailableError),
    "not reachable": (NOT_SENT, ALL, UnavailableError, UnavailableError),
    "certificate": (UNTRUSTED, ALL, ConnectionConfigError, ConnectionConfigError),
    "throttled": (THROTTLED_AS_404, ALL, RateLimitedError, RateLimitedError),
}


@pytest.mark.parametrize(("came", "query", "before", "after"), AT_RETIREMENT.values(), ids=AT_RETIREMENT)
def test_a_failed_read_names_the_retirement_from_its_date_on(came, query, before, after):
    for now, expected in ((BEFORE, before), (AFTER, after)):
        api, script = scripted(came, now=lambda now=now: now)
        if expected is None:
            assert api.find(query) is None
            continue
        with pytest.raises(expected) as caught:
            api.get_page(query)
        assert type(caught.value) is expected
        is_named = expected is RetiredError or (now == AFTER and expected is not RateLimitedError)
        assert ("2027-08-31" in str(caught.value)) == is_named
        assert script.times[-1] - script.times[0] <= 300
        if expected is RetiredError:
            assert len(script.requests) == 1


def test_a_read_that_succeeds_is_believed_after_the_retirement():
    api, _ = scripted(ONE_ROW, now=lambda: AFTER)
    assert len(api.get_page(ALL).conversions) == 1


def test_a_renewed_token_is_tried_after_the_retirement():
    api, _ = scripted(UNAUTHORIZED, ONE_ROW, renew_token=lambda: "new", now=lambda: AFTER)
    assert len(api.get_page(ALL).conversions) == 1


def test_a_stand_in_on_this_machine_does_not_retire():
    api, _ = scripted(UNAUTHORIZED, now=lambda: AFTER, base_url="http://127.0.0.1:8377")
    with pytest.raises(AuthenticationError) as caught:
        api.get_page(ALL)
    assert "2027" not in str(caught.value)


@pytest.mark.parametrize(
    ("came", "kind"),
    [
        (LOST, UnknownOutcomeError),
        (response(503), UnknownOutcomeError),
        (REDIRECT, UnknownOutcomeError),
        (NOT_FOUND, InvalidRequestError),
        (response(410), InvalidRequestError),
    ],
    ids=["lost", "503", "redirect", "404", "410"],
)
def test_the_outcome_of_a_conversion_does_not_depend_on_the_date(came, kind):
    for now in (BEFORE, AFTER):
        api, _ = scripted(came, now=lambda now=now: now)
        with pytest.raises(kind) as caught:
            api.post(LEAD)
        assert type(caught.value) is kind
