"""Converting one lead at most once, whatever requests fail: on a simulated clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_leadconv.api.at_most_once import MAX_UNKNOWN_OUTCOMES, PendingLookup, Resolution, convert_lead
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import (
    AuthenticationError,
    ConnectionConfigError,
    InvalidRequestError,
    InvalidResponseError,
    PermissionDeniedError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.http import TransportFailure
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus
from tests.support.clock import Clock
from tests.support.endpoint import Endpoint, Post, SentRequest
from tests.support.responses import (
    ALREADY,
    HTML,
    LOST,
    NOT_SENT,
    UNAUTHORIZED,
    UNFORESEEN,
    Reply,
    client,
    envelope,
    page,
    response,
    single,
)

TIMEOUT, SETTLE = 30.0, 30.0
LEAD = ConversionRequest(5)
NOT_FOUND = response(404, envelope("404 Not Found", "not_found"))
INCORRECT = response(422, envelope("422 Unprocessable Entity", "incorrect_value", field="/data/lead_id"))
CONFLICT = response(409, envelope("409 Conflict", "conflict"))
NO_SCOPE = response(403, envelope("403 Forbidden", "insufficient_scope"))
UNTRUSTED = TransportFailure(sent=False, reason="the certificate is not trusted", misconfigured=True)


def endpoint_and_client(
    posts: Iterable[Post] = (),
    look_ups: Iterable[Reply | None] = (),
    second_conversion: Reply | None = ALREADY,
    renew_token: Callable[[], str] | None = None,
) -> tuple[Endpoint, LeadConversionsClient]:
    """An endpoint at which requests take 0.1 s, and a client of it.

    :param look_ups: replies to the look-ups in turn; ``None``: the endpoint's own.
    """
    replies = chain(look_ups, repeat(None))

    def answer_look_up(sent: SentRequest) -> Reply | None:
        if sent.method == "POST":
            return None
        assert sent.parameters["lead_id"] == "5"
        return next(replies)

    endpoint = Endpoint(
        clock=Clock(1000.0),
        latency=0.1,
        on_request=answer_look_up,
        posts=posts,
        second_conversion=second_conversion,
    )
    return endpoint, client(endpoint, endpoint.clock, renew_token, timeout=TIMEOUT, settle_time=SETTLE)


def test_an_unconverted_lead_is_looked_up_and_converted():
    endpoint, made = endpoint_and_client()
    result = convert_lead(made, LEAD)
    assert (result.status, result.conversion.id, result.error) == (ConversionStatus.CONVERTED, 100, None)
    assert [sent.method for sent in endpoint.requests] == ["GET", "POST"]


@pytest.mark.parametrize("again", [ALREADY, None])
def test_a_converted_lead_is_existing_and_nothing_is_posted(again):
    endpoint, made = endpoint_and_client(second_conversion=again)
    number = endpoint.convert(5)
    result = convert_lead(made, LEAD)
    assert (result.status, result.conversion.id, result.error) == (ConversionStatus.EXISTING, number, None)
    assert endpoint.posts == []


LOSSES = {
    "connection reset": LOST,
    "500": response(500),
    "500 bare": response(500, {"status": 500, "error": "x"}),
    "504 HTML": response(504, HTML),
    "503": response(503),
    "HTML 200": response(200, HTML),
    "empty 200": response(200),
    "half of the JSON": response(200, b'{"data": {"id": 1'),
    "200 of another lead": response(200, single(7, 6)),
    "409": CONFLICT,
    "redirect": response(307),
    "an unforeseen exception": UNFORESEEN,
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("again", [ALREADY, None], ids=["refuses a second", "converts again"])
def test_a_response_lost_after_the_commit_costs_no_second_conversion(loss, again):
    endpoint, made = endpoint_and_client([Post(loss)], second_conversion=again)
    result = convert_lead(made, LEAD)
    assert (result.status, result.conversion.id) == (ConversionStatus.CONVERTED, 100)
    assert len(endpoint.posts) == len(endpoint.rows) == 1


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_response_lost_before_the_commit_costs_no_lead(loss):
    endpoint, made = endpoint_and_client([Post(loss, commit_after=None)])
    result = convert_lead(made, LEAD)
    assert result.status is ConversionStatus.CONVERTED
    assert len(endpoint.posts) == 2
    assert len(endpoint.rows) == 1


@pytest.mark.parametrize("takes", [0.1, TIMEOUT])
def test_an_unknown_outcome_is_resolved_no_earlier_than_timeout_and_settle_time(takes):
    endpoint, made = endpoint_and_client([Post(LOST, commit_after=None, takes=takes)])
    convert_lead(made, LEAD)
    first, second = endpoint.posts
    assert second - first >= TIMEOUT + SETTLE
    deciding = [at for at in endpoint.look_ups if first < at < second]
    assert deciding[-1] >= first + TIMEOUT + SETTLE


def test_an_attempt_that_overran_its_timeout_is_resolved_relative_to_its_end():
    endpoint, made = endpoint_and_client(
        [Post(LOST, commit_after=100.0 + SETTLE - 1, takes=100.0)], second_conversion=None
    )
    assert convert_lead(made, LEAD).status is ConversionStatus.CONVERTED
    assert len(endpoint.rows) == 1


@pytest.mark.parametrize("late", [0.2, 15.0, TIMEOUT, TIMEOUT + SETTLE - 0.01])
@pytest.mark.parametrize("again", [ALREADY, None], ids=["refuses a second", "converts again"])
def test_a_late_commit_is_waited_for(late, again):
    endpoint, made = endpoint_and_client([Post(response(504, HTML), commit_after=late)], second_conversion=again)
    result = convert_lead(made, LEAD)
    assert (result.status, result.conversion.id) == (ConversionStatus.CONVERTED, 100)
    assert len(endpoint.posts) == len(endpoint.rows) == 1


@pytest.mark.parametrize("unseen", [1.0, SETTLE, TIMEOUT + SETTLE - 0.01])
def test_look_ups_may_lag(unseen):
    endpoint, made = endpoint_and_client([Post(LOST, unseen=unseen)], second_conversion=None)
    assert convert_lead(made, LEAD).status is ConversionStatus.CONVERTED
    assert len(endpoint.rows) == 1


@pytest.mark.parametrize(
    "again",
    [ALREADY, INCORRECT, NOT_FOUND, CONFLICT, response(410), response(403, envelope("403 Forbidden", "forbidden"))],
    ids=["422 already_exists", "422 incorrect_value", "404", "409", "410", "403"],
)
def test_a_refusal_because_the_lead_is_converted_is_no_failure(again):
    # Someone else converts the lead between our look-up and our request.
    endpoint, made = endpoint_and_client(second_conversion=again)

    def convert_before_the_post(sent):
        if sent.method == "POST":
            endpoint.convert(5)

    endpoint.on_request = convert_before_the_post
    result = convert_lead(made, LEAD)
    # After a 409 it is not known whose conversion it is.
    assert result.status is (ConversionStatus.CONVERTED if again is CONFLICT else ConversionStatus.EXISTING)
    assert result.conversion.id == 100
    assert len(endpoint.posts) == 1


def test_the_same_record_returned_for_a_converted_lead_is_believed():
    endpoint, made = endpoint_and_client(
        second_conversion=response(200, single(100, 5)), look_ups=[response(200, page())]
    )
    endpoint.convert(5)
    assert convert_lead(made, LEAD).conversion.id == 100


def test_already_exists_is_looked_up_again_after_the_settle_time():
    endpoint, made = endpoint_and_client()
    endpoint.convert(5, visible_after=SETTLE - 1)
    assert convert_lead(made, LEAD).status is ConversionStatus.EXISTING


@pytest.mark.parametrize("refusal", [INCORRECT, NOT_FOUND, response(400, {"message": "no"}), response(403)])
def test_a_refused_lead_that_is_not_converted_failed(refusal):
    endpoint, made = endpoint_and_client([Post(refusal, commit_after=None)])
    result = convert_lead(made, LEAD)
    assert (result.status, result.conversion) == (ConversionStatus.FAILED, None)
    assert result.error.status_code == refusal.status_code
    assert len(endpoint.posts) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (UNAUTHORIZED, AuthenticationError),
        (NO_SCOPE, PermissionDeniedError),
        (NOT_SENT, UnavailableError),
        (UNTRUSTED, ConnectionConfigError),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_error_that_concerns_every_lead_is_raised(reply, kind, method):
    if method == "GET":
        endpoint, made = endpoint_and_client(look_ups=repeat(reply))
    else:
        endpoint, made = endpoint_and_client(repeat(Post(reply, commit_after=None)))
    with pytest.raises(kind):
        convert_lead(made, LEAD)
    assert endpoint.rows == {}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_lead_is_posted_four_times_at_the_most(loss):
    endpoint, made = endpoint_and_client(repeat(Post(loss, commit_after=None)))
    result = convert_lead(made, LEAD)
    assert (result.status, result.conversion) == (ConversionStatus.UNKNOWN, None)
    assert isinstance(result.error, UnknownOutcomeError)
    assert len(endpoint.posts) == MAX_UNKNOWN_OUTCOMES == 4
    assert endpoint.look_ups[-1] >= endpoint.posts[-1] + TIMEOUT + SETTLE, "even the last request is given its time"


def test_the_fourth_request_may_be_the_one_that_is_found():
    lost = Post(LOST, commit_after=None)
    _, made = endpoint_and_client([lost, lost, lost, Post(LOST, commit_after=59.0)])
    assert convert_lead(made, LEAD).status is ConversionStatus.CONVERTED


def boom():
    raise RuntimeError("the secrets backend is down")


FAILING_LOOK_UPS = {
    "503": (response(503), None),
    "lost": (LOST, None),
    "no sense": (response(200, HTML), None),
    "401": (UNAUTHORIZED, None),
    "401, and the token cannot be read again": (UNAUTHORIZED, boom),
    "403": (NO_SCOPE, None),
    "400": (response(400), None),
    "404": (response(404), None),
    "bad certificate": (UNTRUSTED, None),
    "an unforeseen exception": (UNFORESEEN, None),
}


@pytest.mark.parametrize(("reply", "renew"), FAILING_LOOK_UPS.values(), ids=FAILING_LOOK_UPS.keys())
@pytest.mark.parametrize("good_look_ups", [1, 2], ids=["the first look-up", "the deciding look-up"])
@pytest.mark.parametrize("commit_after", [0.0, None])
def test_an_unknown_outcome_stays_unknown_if_look_ups_fail(reply, renew, good_look_ups, commit_after):
    unseen = 1e9 if good_look_ups == 2 else 0.0
    look_ups = chain(repeat(None, good_look_ups), repeat(reply))
    endpoint, made = endpoint_and_client([Post(LOST, commit_after, unseen=unseen)], look_ups, renew_token=renew)
    result = convert_lead(made, LEAD)
    assert result.status is ConversionStatus.UNKNOWN
    assert isinstance(result.error, UnknownOutcomeError)
    assert result.error.__cause__ is not None
    assert len(endpoint.posts) == 1


@pytest.mark.parametrize(("reply", "renew"), FAILING_LOOK_UPS.values(), ids=FAILING_LOOK_UPS.keys())
def test_a_refused_lead_is_unknown_if_look_ups_fail(reply, renew):
    look_ups = chain([None], repeat(reply))
    endpoint, made = endpoint_and_client([Post(INCORRECT)], look_ups, renew_token=renew)
    result = convert_lead(made, LEAD)
    assert result.status is ConversionStatus.UNKNOWN
    assert len(endpoint.posts) == 1


@pytest.mark.parametrize("then", [NOT_SENT, UNAUTHORIZED, NO_SCOPE, UNTRUSTED, response(429), ALREADY])
def test_an_unknown_outcome_stays_unknown_if_a_later_request_settles_nothing(then):
    _, made = endpoint_and_client([Post(LOST, commit_after=None), *repeat(Post(then, commit_after=None), 99)])
    result = convert_lead(made, LEAD)
    assert result.status is ConversionStatus.UNKNOWN
    assert isinstance(result.error, UnknownOutcomeError)
    assert result.error.__cause__ is not None


@pytest.mark.parametrize("then", [INCORRECT, NOT_FOUND, response(403)])
def test_a_refusal_of_the_lead_after_an_unknown_outcome_stands(then):
    # By the time of the second request, the first can no longer become visible.
    _, made = endpoint_and_client([Post(LOST, commit_after=None), *repeat(Post(then, commit_after=None), 99)])
    result = convert_lead(made, LEAD)
    assert result.status is ConversionStatus.FAILED
    assert result.error.status_code == then.status_code


def test_a_conversion_that_a_second_request_was_refused_for_is_ours():
    endpoint, made = endpoint_and_client([Post(LOST, commit_after=TIMEOUT + SETTLE + 0.3), Post()])
    assert convert_lead(made, LEAD).status is ConversionStatus.CONVERTED
    assert len(endpoint.rows) == 1


# The states of a pending look-up

CONFIG = ClientConfig(token="t", timeout=10.0, settle_time=5.0)
UNKNOWN = UnknownOutcomeError("no response")
REFUSED = InvalidRequestError("refused", status_code=422, code="incorrect_value")
ALREADY_EXISTS = InvalidRequestError("converted", status_code=422, code="already_exists")


def pending_after(requests: int) -> PendingLookup:
    pending = None
    for _ in range(requests):
        pending = PendingLookup.after_unknown(UnknownOutcomeError("no response"), pending, config=CONFIG, now=100.0)
    assert pending is not None
    return pending


@pytest.mark.parametrize(("sent_at", "resolve_at"), [(None, 115.0), (0.0, 15.0), (93.0, 108.0)])
def test_an_unknown_outcome_is_resolved_timeout_and_settle_time_after_it_was_sent(sent_at, resolve_at):
    error = UnknownOutcomeError("no response")
    error.sent_at = sent_at
    pending = PendingLookup.after_unknown(error, None, config=CONFIG, now=100.0)
    assert pending == PendingLookup(error=error, resolve_at=resolve_at, requests=1, refused=False)


@pytest.mark.parametrize("requests", range(1, MAX_UNKNOWN_OUTCOMES + 2))
def test_a_lead_is_sent_again_until_four_outcomes_are_unknown(requests):
    pending = pending_after(requests)
    assert pending.requests == requests
    assert pending.resolve() is (Resolution.SEND_AGAIN if requests < 4 else Resolution.UNKNOWN)


def test_a_first_refusal_stands():
    assert PendingLookup.after_refusal(REFUSED, None, config=CONFIG, now=100.0) is None


def test_a_first_refusal_as_converted_is_looked_up_after_the_settle_time_and_then_stands():
    pending = PendingLookup.after_refusal(ALREADY_EXISTS, None, config=CONFIG, now=100.0)
    assert pending == PendingLookup(error=ALREADY_EXISTS, resolve_at=105.0, requests=0, refused=True)
    assert pending.resolve() is Resolution.FAILED


@pytest.mark.parametrize("requests", [1, MAX_UNKNOWN_OUTCOMES - 1])
def test_a_refusal_after_an_unknown_outcome_stands_after_the_settle_time(requests):
    pending = PendingLookup.after_refusal(REFUSED, pending_after(requests), config=CONFIG, now=200.0)
    assert pending == PendingLookup(error=REFUSED, resolve_at=205.0, requests=requests, refused=True)
    assert pending.resolve() is Resolution.FAILED


@pytest.mark.parametrize("requests", [1, MAX_UNKNOWN_OUTCOMES - 1])
def test_a_refusal_as_converted_that_no_look_up_confirms_leaves_the_outcome_unknown(requests):
    previous = pending_after(requests)
    pending = PendingLookup.after_refusal(ALREADY_EXISTS, previous, config=CONFIG, now=200.0)
    assert pending == PendingLookup(error=previous.error, resolve_at=205.0, requests=requests, refused=True)
    assert pending.error.__cause__ is ALREADY_EXISTS
    assert pending.resolve() is Resolution.UNKNOWN


def test_an_unknown_outcome_after_a_refusal_is_resolved_as_unknown_outcomes_are():
    refused = PendingLookup.after_refusal(ALREADY_EXISTS, None, config=CONFIG, now=100.0)
    pending = PendingLookup.after_unknown(UNKNOWN, refused, config=CONFIG, now=200.0)
    assert pending == PendingLookup(error=UNKNOWN, resolve_at=215.0, requests=1, refused=False)
    assert pending.resolve() is Resolution.SEND_AGAIN


# Whatever happens

losses = st.sampled_from(list(LOSSES.values()))
within = st.floats(0.0, TIMEOUT + SETTLE - 0.1)


@st.composite
def plans(draw: Callable) -> Post:
    """Anything that may happen to a POST, provided a commit is seen within timeout and settle time."""
    takes = draw(st.sampled_from([0.1, 5.0, TIMEOUT]))
    kind = draw(st.sampled_from(["fine", "lost before", "lost after", "throttled", "not sent", "refused"]))
    if kind == "fine":
        return Post(takes=takes, unseen=draw(within) - takes if takes < 1 else 0.0)
    if kind == "lost after":
        seen_by = draw(within)
        commit_after = draw(st.floats(0.0, seen_by))
        return Post(draw(losses), commit_after, takes, seen_by - commit_after)
    reply = {
        "lost before": draw(losses),
        "throttled": response(429),
        "not sent": NOT_SENT,
        "refused": draw(st.sampled_from([INCORRECT, NOT_FOUND, response(400), response(403)])),
    }[kind]
    return Post(reply, None, takes)


look_up_replies = st.sampled_from(
    [None, None, None, response(429), response(503), LOST, response(200, HTML), response(409), UNFORESEEN]
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(plans(), max_size=6),
    st.lists(look_up_replies, max_size=12),
    st.sampled_from([None, ALREADY, INCORRECT, NOT_FOUND, CONFLICT]),
)
def test_no_lead_is_converted_twice_and_no_result_is_untrue(posts, look_ups, second_conversion):
    endpoint, made = endpoint_and_client([*posts, Post()], look_ups, second_conversion)
    try:
        result = convert_lead(made, LEAD)
    except (UnavailableError, PermissionDeniedError, InvalidResponseError):
        assert endpoint.rows == {}, "an error for all leads must not hide a conversion"
        return
    made.sleep(TIMEOUT + SETTLE)
    assert len(endpoint.rows) <= 1
    assert result.status in set(ConversionStatus) - {ConversionStatus.NOT_ATTEMPTED}
    if result.status in {ConversionStatus.CONVERTED, ConversionStatus.EXISTING}:
        assert result.conversion.id == min(endpoint.rows)
    if result.status is ConversionStatus.FAILED:
        assert endpoint.rows == {}
    assert (result.error is None) is (result.conversion is not None)
