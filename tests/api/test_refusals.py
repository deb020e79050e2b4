"""What an answer that is no success, or the lack of an answer, means."""

from __future__ import annotations

import pickle

import pytest
from simulated import ALREADY, HTML, LOST, NOT_SENT, THROTTLED_AS_404, UNAUTHORIZED, answer, envelope, page, row

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
from airflow_provider_leadconv.api.messages import NoAnswer
from airflow_provider_leadconv.api.refusals import failure, refusal, unusable

Auth, Config, Denied = AuthenticationError, ConnectionConfigError, PermissionDeniedError
Input, Limited, Unavailable, Unknown = InvalidRequestError, RateLimitedError, UnavailableError, UnknownOutcomeError

# what came, what it means to a GET, what it means to a POST
MEANINGS = {
    "429": (answer(429, envelope("429 Too Many Requests", "rate_limit_exceeded")), Limited, Limited),
    "429, empty": (answer(429), Limited, Limited),
    "429, HTML": (answer(429, HTML), Limited, Limited),
    "404 that names /429.json": (THROTTLED_AS_404, Limited, Limited),
    "409": (answer(409, envelope("409 Conflict", "conflict")), Limited, Unknown),
    "409, empty": (answer(409), Limited, Unknown),
    "400, parameter": (answer(400, envelope("400 Bad Request", "invalid_param", logref=None)), Input, Input),
    "400, nginx": (answer(400, HTML), Input, Input),
    "400, JSON without errors": (answer(400, {"message": "no"}), Input, Input),
    "400, JSON that is no object": (answer(400, [1]), Input, Input),
    "401": (UNAUTHORIZED, Auth, Auth),
    "401, empty": (answer(401), Auth, Auth),
    "403": (answer(403, envelope("403 Forbidden", "insufficient_scope")), Denied, Denied),
    "404": (answer(404, envelope("404 Not Found", "not_found")), Input, Input),
    "404, path": (answer(404, envelope("404 Not Found", "incorrect_path")), Config, Input),
    "404, HTML": (answer(404, HTML), Config, Input),
    "407": (answer(407), Config, Config),
    "408": (answer(408), Unavailable, Unknown),
    "410": (answer(410), Input, Input),
    "422": (ALREADY, Input, Input),
    "500": (answer(500, envelope("500 Internal Server Error", "server_error")), Unavailable, Unknown),
    "500, bare": (answer(500, {"status": 500, "error": "Internal Server Error"}), Unavailable, Unknown),
    "500, null": (answer(500, b"null"), Unavailable, Unknown),
    "502, empty": (answer(502), Unavailable, Unknown),
    "503": (answer(503, envelope("503 Service Unavailable", "temporarily_unavailable")), Unavailable, Unknown),
    "504, nginx": (answer(504, HTML), Unavailable, Unknown),
    "599": (answer(599), Unavailable, Unknown),
    "redirect": (answer(307, b"", location="https://foreign.invalid/"), Config, Unknown),
    "304": (answer(304), Config, Unknown),
    "200 that says 500": (answer(200, {"status": 500, "error": "Internal Server Error"}), Unavailable, Unknown),
    "200 that says 500 as text": (answer(200, {"status": "500", "error": "x"}), Unavailable, Unknown),
    "200 that says error": (answer(200, {"error": "x"}), Unavailable, Unknown),
    "200 that says nonsense": (answer(200, {"error": "x", "status": "²"}), Unavailable, Unknown),
    "200 with items: null and an error": (answer(200, {"items": None, "error": "x"}), Unavailable, Unknown),
    "200 with the envelope of a 422": (answer(200, envelope("422 Unprocessable", "blank")), Input, Unknown),
    "201 with the envelope of a 401": (answer(201, envelope("401 Unauthorized", "unauthorized")), Auth, Unknown),
    "200 with the envelope of a 429": (answer(200, envelope("429 Too Many", "rate_limit_exceeded")), Limited, Unknown),
}


@pytest.mark.parametrize(("method", "place"), [("GET", 1), ("POST", 2)])
@pytest.mark.parametrize("name", MEANINGS)
def test_the_class_of_an_error_says_what_to_do(name, method, place):
    error = refusal(method, MEANINGS[name][0])
    assert type(error) is MEANINGS[name][place]
    assert (error.method, error.path) == (method, "/v2/lead_conversions")


@pytest.mark.parametrize("content", [page(row(1)), page(), {"data": row(1)}, {}, {"status": 200}, b"", b"{", HTML])
def test_a_2xx_that_does_not_say_it_failed_is_no_refusal(content):
    assert refusal("GET", answer(200, content)) is None


def test_an_error_carries_what_the_envelope_says():
    body = envelope("422 Unprocessable Entity", "blank", "must not be blank", field="/data/lead_id", logref="ref-7")
    body["errors"].append(
        {"error": {"code": "unknown", "message": "Unbekannt", "resource": "lead", "field": "/lead_id"}}
    )
    error = refusal("POST", answer(422, body))
    assert (error.status, error.code, error.request_id) == (422, "blank", "ref-7")
    assert [entry.field for entry in error.field_errors] == ["/data/lead_id", "/lead_id"]
    assert error.field_errors[1].resource == "lead"
    assert str(error) == (
        "POST /v2/lead_conversions: the API answered 422: /data/lead_id: blank: must not be blank; "
        "/lead_id: unknown: Unbekannt (request id ref-7). Correct the value named above."
    )


def test_the_request_id_may_come_in_a_header():
    assert refusal("GET", answer(500, b"", x_request_id="h-1")).request_id == "h-1"
    assert unusable("GET", answer(200, b"", x_request_id="h-2"), "nothing").request_id == "h-2"


def test_a_disguise_is_told():
    assert "answered 500 in a 200" in str(refusal("GET", MEANINGS["200 that says 500"][0]))


def test_an_empty_body_is_told():
    assert "the API answered 503: (empty)" in str(refusal("GET", answer(503)))


@pytest.mark.parametrize(
    "errors",
    [
        None,
        {},
        [],
        "x",
        [None],
        ["x"],
        [{}],
        [{"error": None}],
        [{"error": []}],
        [{"error": {}}],
        [{"error": {"a": 1}}],
    ],
)
def test_an_envelope_without_a_readable_error_is_quoted(errors):
    error = refusal("GET", answer(500, {"errors": errors, "meta": []}))
    assert error.field_errors == ()
    assert '{"errors"' in str(error)


LONG = "x" * 100_000
BIG = {
    "text": LONG.encode(),
    "wide text": ("ü" * 100_000).encode(),
    "one error": envelope("422", LONG, LONG, field=LONG, logref=LONG),
    "many errors": {"errors": [{"error": {"code": f"code-{number}", "details": "y" * 90}} for number in range(5000)]},
    "an error in an error": {"errors": [{"error": {"code": {"a": [LONG]}, "details": [LONG]}}]},
}


@pytest.mark.parametrize("content", BIG.values(), ids=BIG.keys())
@pytest.mark.parametrize("status", [422, 500, 200])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_more_than_2_kb_of_a_body_is_in_an_error(method, status, content):
    reply = answer(status, content, x_request_id=LONG, retry_after=LONG)
    for error in (refusal(method, reply), unusable(method, reply, "nothing")):
        if error is not None:
            assert len(str(error)) < 2000
            assert len(repr(error)) < 2000
            assert len(pickle.dumps(error)) < 4000  # texts and field_errors, and the names around them


@pytest.mark.parametrize(
    ("missing", "of_a_read", "of_a_conversion"),
    [
        (LOST, Unavailable, Unknown),
        (NOT_SENT, Unavailable, Unavailable),
        (NoAnswer(sent=False, reason="bad certificate", misconfigured=True), Config, Config),
    ],
)
def test_the_lack_of_an_answer_leaves_a_conversion_in_doubt_if_it_was_sent(missing, of_a_read, of_a_conversion):
    assert type(failure("GET", missing)) is of_a_read
    assert type(failure("POST", missing)) is of_a_conversion
    assert missing.reason in str(failure("GET", missing))


def test_a_2xx_without_use_is_a_broken_answer_to_a_read_and_a_doubt_about_a_conversion():
    assert type(unusable("GET", answer(200), "nothing")) is InvalidResponseError
    assert type(unusable("POST", answer(200), "nothing")) is UnknownOutcomeError


def test_every_class_has_a_remedy_of_its_own():
    kinds = [*LeadConversionError.__subclasses__(), RateLimitedError]
    assert len({kind.remedy for kind in kinds}) == len(kinds)
