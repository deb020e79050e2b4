"""What a response that is no success, or the lack of a response, means."""

from __future__ import annotations

import pickle

import pytest

from airflow_provider_leadconv.api.error_mapping import (
    error_from_response,
    error_from_transport_failure,
    unusable_response,
)
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
from airflow_provider_leadconv.api.http import TransportFailure
from tests.support.responses import (
    ALREADY,
    HTML,
    LOST,
    NOT_SENT,
    THROTTLED_AS_404,
    UNAUTHORIZED,
    envelope,
    page,
    response,
    row,
)

Auth, Config, Denied = AuthenticationError, ConnectionConfigError, PermissionDeniedError
Input, Limited, Unavailable, Unknown = InvalidRequestError, RateLimitedError, UnavailableError, UnknownOutcomeError
Retired = RetiredError

# what came, what it means to a GET, what it means to a POST
MEANINGS = {
    "429": (response(429, envelope("429 Too Many Requests", "rate_limit_exceeded")), Limited, Limited),
    "429, empty": (response(429), Limited, Limited),
    "429, HTML": (response(429, HTML), Limited, Limited),
    "404 that names /429.json": (THROTTLED_AS_404, Limited, Limited),
    "409": (response(409, envelope("409 Conflict", "conflict")), Limited, Unknown),
    "409, empty": (response(409), Limited, Unknown),
    "400, parameter": (response(400, envelope("400 Bad Request", "invalid_param", logref=None)), Input, Input),
    "400, nginx": (response(400, HTML), Input, Input),
    "400, JSON without errors": (response(400, {"message": "no"}), Input, Input),
    "400, JSON that is no object": (response(400, [1]), Input, Input),
    "401": (UNAUTHORIZED, Auth, Auth),
    "401, empty": (response(401), Auth, Auth),
    "403": (response(403, envelope("403 Forbidden", "insufficient_scope")), Denied, Denied),
    "404": (response(404, envelope("404 Not Found", "not_found")), Input, Input),
    "404, path": (response(404, envelope("404 Not Found", "incorrect_path")), Config, Input),
    "404, HTML": (response(404, HTML), Config, Input),
    "407": (response(407), Config, Config),
    "408": (response(408), Unavailable, Unknown),
    "410": (response(410), Retired, Input),
    "422": (ALREADY, Input, Input),
    "500": (response(500, envelope("500 Internal Server Error", "server_error")), Unavailable, Unknown),
    "500, bare": (response(500, {"status": 500, "error": "Internal Server Error"}), Unavailable, Unknown),
    "500, null": (response(500, b"null"), Unavailable, Unknown),
    "502, empty": (response(502), Unavailable, Unknown),
    "503": (response(503, envelope("503 Service Unavailable", "temporarily_unavailable")), Unavailable, Unknown),
    "504, nginx": (response(504, HTML), Unavailable, Unknown),
    "599": (response(599), Unavailable, Unknown),
    "redirect": (response(307, b"", location="https://foreign.invalid/"), Config, Unknown),
    "304": (response(304), Config, Unknown),
    "200 that says 500": (response(200, {"status": 500, "error": "Internal Server Error"}), Unavailable, Unknown),
    "200 that says 500 as text": (response(200, {"status": "500", "error": "x"}), Unavailable, Unknown),
    "200 that says error": (response(200, {"error": "x"}), Unavailable, Unknown),
    "200 that says nonsense": (response(200, {"error": "x", "status": "²"}), Unavailable, Unknown),
    "200 with items: null and an error": (response(200, {"items": None, "error": "x"}), Unavailable, Unknown),
    "200 with the envelope of a 422": (response(200, envelope("422 Unprocessable", "blank")), Input, Unknown),
    "201 with the envelope of a 401": (response(201, envelope("401 Unauthorized", "unauthorized")), Auth, Unknown),
    "200 with the envelope of a 429": (
        response(200, envelope("429 Too Many", "rate_limit_exceeded")),
        Limited,
        Unknown,
    ),
}


@pytest.mark.parametrize(("method", "place"), [("GET", 1), ("POST", 2)])
@pytest.mark.parametrize("name", MEANINGS)
def test_the_class_of_an_error_says_what_to_do(name, method, place):
    error = error_from_response(method, MEANINGS[name][0])
    assert type(error) is MEANINGS[name][place]
    assert (error.method, error.path) == (method, "/v2/lead_conversions")


@pytest.mark.parametrize("content", [page(row(1)), page(), {"data": row(1)}, {}, {"status": 200}, b"", b"{", HTML])
def test_a_2xx_that_does_not_say_it_failed_is_no_refusal(content):
    assert error_from_response("GET", response(200, content)) is None


def test_an_error_carries_what_the_envelope_says():
    body = envelope("422 Unprocessable Entity", "blank", "must not be blank", field="/data/lead_id", logref="ref-7")
    body["errors"].append(
        {"error": {"code": "unknown", "message": "Unbekannt", "resource": "lead", "field": "/lead_id"}}
    )
    error = error_from_response("POST", response(422, body))
    assert (error.status_code, error.code, error.request_id) == (422, "blank", "ref-7")
    assert [entry.field for entry in error.field_errors] == ["/data/lead_id", "/lead_id"]
    assert error.field_errors[1].resource == "lead"
    assert str(error) == (
        "the API answered 422: /data/lead_id: blank: must not be blank; /lead_id: unknown: Unbekannt "
        "(POST /v2/lead_conversions, request id ref-7)."
    )


def test_the_request_id_may_come_in_a_header():
    assert error_from_response("GET", response(500, b"", x_request_id="h-1")).request_id == "h-1"
    assert unusable_response("GET", response(200, b"", x_request_id="h-2"), "nothing").request_id == "h-2"


def test_a_disguise_is_told():
    assert "answered 500 in the body of a 200" in str(error_from_response("GET", MEANINGS["200 that says 500"][0]))


def test_an_empty_body_is_told():
    assert "the API answered 503: an empty body" in str(error_from_response("GET", response(503)))


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
def test_an_envelope_without_a_readable_error_is_described(errors):
    reply = response(500, {"errors": errors, "meta": []}, content_type="application/json")
    error = error_from_response("GET", reply)
    assert error.field_errors == ()
    assert f"answered 500: a body of {len(reply.body)} bytes, application/json" in str(error)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (HTML, "504 Gateway Time-out"),
        (b"<HTML><TITLE>\n a &amp;\n b</TITLE>", "a & b"),
        ({"message": "boom"}, "boom"),
        ({"error": "Internal Server Error", "status": 500}, "Internal Server Error"),
        ({"error": {"a": 1}, "detail": "boom"}, "boom"),
        (b"plain text", "a body of 10 bytes, text/plain"),
        ([1], "a body of 3 bytes, text/plain"),
    ],
)
def test_of_other_bodies_an_error_quotes_what_is_known_to_be_a_message(body, said):
    error = error_from_response("GET", response(500, body, content_type="text/plain"))
    assert str(error).startswith(f"the API answered 500: {said} (GET /v2/lead_conversions). Run")


def test_what_the_api_says_is_on_one_line_of_the_log():
    body = envelope("422", "bad\x1b[31m", "red\n[2026-11-26] INFO - forged\u2028\x00\r\n", logref="a\tb")
    error = error_from_response("POST", response(422, body))
    assert str(error) == (
        "the API answered 422: bad [31m: red [2026-11-26] INFO - forged (POST /v2/lead_conversions, request id a b)."
    )


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
    reply = response(status, content, x_request_id=LONG, retry_after=LONG)
    for error in (error_from_response(method, reply), unusable_response(method, reply, "nothing")):
        if error is not None:
            assert len(str(error)) < 2000
            assert len(repr(error)) < 2000
            assert len(pickle.dumps(error)) < 4000  # texts and field_errors, and the names around them


@pytest.mark.parametrize(
    ("missing", "of_a_read", "of_a_conversion"),
    [
        (LOST, Unavailable, Unknown),
        (NOT_SENT, Unavailable, Unavailable),
        (TransportFailure(sent=False, reason="bad certificate", misconfigured=True), Config, Config),
    ],
)
def test_the_lack_of_a_response_leaves_a_conversion_in_doubt_if_it_was_sent(missing, of_a_read, of_a_conversion):
    assert type(error_from_transport_failure("GET", missing)) is of_a_read
    assert type(error_from_transport_failure("POST", missing)) is of_a_conversion
    assert missing.reason in str(error_from_transport_failure("GET", missing))


def test_a_2xx_without_use_is_a_broken_response_to_a_read_and_a_doubt_about_a_conversion():
    assert type(unusable_response("GET", response(200), "nothing")) is InvalidResponseError
    assert type(unusable_response("POST", response(200), "nothing")) is UnknownOutcomeError


def test_every_class_has_a_remedy_of_its_own():
    kinds = [*LeadConversionError.__subclasses__(), RateLimitedError]
    assert len({kind.remedy for kind in kinds}) == len(kinds)


REMEDIES = {
    "a token of another product": ("GET", 401, "unauthorized", "A token of Zendesk Support is not valid for Sell."),
    "a scope": ("POST", 403, "insufficient_scope", "Create a token with the scope it lacks: "),
    "a role": ("POST", 403, "forbidden", "Check the scopes of the token "),
    "a redirect": ("GET", 302, None, "Correct the host of the connection: redirects are not followed."),
    "a path": ("GET", 404, None, "Correct the host of the connection: it has no such path. "),
    "a proxy": ("GET", 407, None, 'Put user and password into "proxy" in the extra of the connection'),
    "a lead": ("POST", 404, "not_found", "Check that the lead exists, and that the token's user may see it."),
    "the rate": ("GET", 429, None, "Every user of this token shares one limit (10 requests/s): "),
    "the API": ("GET", 503, None, "status.zendesk.com"),
}


@pytest.mark.parametrize(("method", "status", "code", "remedy"), REMEDIES.values(), ids=REMEDIES)
def test_the_remedy_belongs_to_the_cause(method, status, code, remedy):
    body = envelope(str(status), code, "said") if code else b""
    error = error_from_response(method, response(status, body))
    assert remedy in error.remedy
    assert error.remedy in str(error)


def test_a_value_that_the_api_rejects_gets_no_advice_about_the_connection():
    body = envelope("422 Unprocessable Entity", "incorrect_value", "no such owner", field="/data/owner_id", logref=None)
    error = error_from_response("POST", response(422, body))
    assert (
        str(error)
        == "the API answered 422: /data/owner_id: incorrect_value: no such owner (POST /v2/lead_conversions)."
    )
