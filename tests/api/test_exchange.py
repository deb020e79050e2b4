"""One request, repeated until it is answered or given up, on a simulated clock."""

from __future__ import annotations

import logging
import pickle
import traceback
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from simulated import (
    ALREADY,
    HTML,
    LOST,
    NOT_SENT,
    THROTTLED_AS_404,
    TOKEN,
    UNAUTHORIZED,
    Clock,
    answer,
    client,
    envelope,
    page,
    row,
    scripted,
    single,
)

from airflow_provider_leadconv.api.errors import (
    AuthenticationError,
    ConnectionConfigError,
    InvalidRequestError,
    InvalidResponseError,
    LeadConversionError,
    PermissionDeniedError,
    RateLimitedError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.exchange import RenewToken, Send, Wait
from airflow_provider_leadconv.api.messages import NoAnswer
from airflow_provider_leadconv.api.records import ConversionRequest
from airflow_provider_leadconv.api.wire import ListQuery, read_page

ALL = ListQuery()
LEAD = ConversionRequest(5)
ONE_ROW = answer(200, page(row(1)))
DONE = answer(201, single(9, 5))
TOO_MANY = answer(429)
BARE_500 = answer(500, {"status": 500, "error": "Internal Server Error"})
GATEWAY = answer(504, HTML)
UNTRUSTED = NoAnswer(sent=False, reason="the certificate is not trusted", misconfigured=True)

CALLS = {"GET": lambda made: made.get_page(ALL), "POST": lambda made: made.post(LEAD)}

THROTTLINGS = {
    "429": answer(429, envelope("429 Too Many Requests", "rate_limit_exceeded")),
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
    "bad", [answer(409), BARE_500, GATEWAY, answer(503), answer(200, HTML), answer(200, b"{"), LOST, NOT_SENT]
)
def test_what_may_pass_is_waited_out_by_reads(bad):
    made, script = scripted(bad, bad, ONE_ROW)
    assert made.get_page(ALL).conversions
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    "bad",
    [
        LOST,
        *map(answer, (307, 408, 409, 500, 503, 200)),
        BARE_500,
        GATEWAY,
        answer(200, HTML),
        answer(201, single(9, 6)),
        answer(200, {"status": 500, "error": "x"}),
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


def test_a_conversion_counts_as_sent_no_earlier_than_its_timeout_before_it_was_given_up():
    # A host with many addresses, or a machine that slept: the attempt took much longer than its timeout.
    made, script = scripted(LOST, seconds=500.0, timeout=30.0)
    with pytest.raises(UnknownOutcomeError) as caught:
        made.post(LEAD)
    assert caught.value.sent_at == script.times[0] + 500 - 30


FOREVER = {
    "429": (TOO_MANY, RateLimitedError, RateLimitedError),
    "429 with Retry-After 0": (answer(429, retry_after="0"), RateLimitedError, RateLimitedError),
    "429 with Retry-After 3600": (answer(429, retry_after="3600"), RateLimitedError, RateLimitedError),
    "404 that names /429.json": (THROTTLED_AS_404, RateLimitedError, RateLimitedError),
    "409": (answer(409), RateLimitedError, UnknownOutcomeError),
    "500": (BARE_500, UnavailableError, UnknownOutcomeError),
    "503 with Retry-After 0": (answer(503, retry_after="0"), UnavailableError, UnknownOutcomeError),
    "504 HTML": (GATEWAY, UnavailableError, UnknownOutcomeError),
    "408": (answer(408), UnavailableError, UnknownOutcomeError),
    "200 that says 500": (answer(200, {"status": 500, "error": "x"}), UnavailableError, UnknownOutcomeError),
    "HTML 200": (answer(200, HTML), InvalidResponseError, UnknownOutcomeError),
    "items: null": (answer(200, {"items": None}), InvalidResponseError, UnknownOutcomeError),
    "not sent": (NOT_SENT, UnavailableError, UnavailableError),
    "lost": (LOST, UnavailableError, UnknownOutcomeError),
    "bad certificate": (UNTRUSTED, ConnectionConfigError, ConnectionConfigError),
    "redirect": (answer(302), ConnectionConfigError, UnknownOutcomeError),
    "401": (UNAUTHORIZED, AuthenticationError, AuthenticationError),
    "403": (answer(403), PermissionDeniedError, PermissionDeniedError),
    "400": (answer(400, {"message": "no"}), InvalidRequestError, InvalidRequestError),
    "422": (ALREADY, InvalidRequestError, InvalidRequestError),
}


@pytest.mark.parametrize(("method", "place"), [("GET", 1), ("POST", 2)])
@pytest.mark.parametrize("name", FOREVER)
@pytest.mark.parametrize("seconds", [0.1, 30.0], ids=["at once", "after the whole timeout"])
def test_every_bad_answer_ends_in_its_own_error_within_the_retry_timeout(name, method, place, seconds):
    made, script = scripted(FOREVER[name][0], seconds=seconds, renew_token=lambda: TOKEN)
    start = made.clock()
    with pytest.raises(LeadConversionError) as caught:
        CALLS[method](made)
    assert type(caught.value) is FOREVER[name][place]
    assert made.clock() - start <= made.config.retry_timeout
    assert len(script.requests) < 200, "knocks too often"


def test_unavailability_is_worth_most_of_the_retry_timeout():
    made, script = scripted(answer(503))
    with pytest.raises(UnavailableError):
        made.get_page(ALL)
    assert script.times[-1] - script.times[0] > 200


def test_retry_after_is_waited_for():
    made, script = scripted(answer(503, retry_after="42"), ONE_ROW)
    made.get_page(ALL)
    assert 42 <= script.times[1] - script.times[0] < 44


def test_a_wait_for_a_slot_counts_against_the_retry_timeout():
    # At 1 request in 100 s the back-off is over long before the next slot.
    made, script = scripted(answer(503), requests_per_second=0.01, retry_timeout=90.0)
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

ECHOES = {
    "in a field": answer(400, envelope("400", "invalid_header", f"Authorization: Bearer {TOKEN} is bad", logref=TOKEN)),
    "in a code": answer(422, envelope("422", TOKEN, TOKEN, field=TOKEN)),
    "in HTML": answer(500, f"<html>{TOKEN}</html>".encode()),
    "in a 200": answer(200, f"Bearer {TOKEN}".encode()),
    "at the edge of the excerpt": answer(500, b"x" * 280 + TOKEN.encode()),
    "in headers": answer(500, b"", x_request_id=TOKEN, retry_after=f"0 {TOKEN}"),
    "in a 401": answer(401, envelope("401", "unauthorized", f"token {TOKEN} expired")),
    "in a row": answer(200, page(row(1, x=TOKEN), count=0)),
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
    for token in script.tokens:
        assert token[:20] not in shown


def test_nothing_that_holds_the_token_shows_it():
    made, _ = scripted(ONE_ROW)
    exchange = made._exchange
    steps = exchange.steps(ALL.request(), lambda reply: reply)
    shown = [made, made.config, exchange, steps, _skip_waits(exchange, steps)]
    assert TOKEN not in "".join(repr(thing) + str(thing) for thing in shown)
