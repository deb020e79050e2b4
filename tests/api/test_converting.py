"""Converting one lead, once, whatever fails meanwhile: on a simulated clock, against a simulated account."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, repeat
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import (
    ALREADY,
    HTML,
    LOST,
    NOT_SENT,
    TOKEN,
    UNAUTHORIZED,
    Clock,
    answer,
    client,
    envelope,
    page,
    row,
    single,
)

from airflow_provider_leadconv.api.converting import MAX_POSTS, convert_lead
from airflow_provider_leadconv.api.errors import (
    AuthenticationError,
    ConnectionConfigError,
    InvalidResponseError,
    PermissionDeniedError,
    UnavailableError,
    UnknownOutcomeError,
)
from airflow_provider_leadconv.api.messages import Answer, NoAnswer, Request
from airflow_provider_leadconv.api.records import ConversionRequest, Outcome

TIMEOUT, SETTLE = 30.0, 30.0
LEAD = ConversionRequest(5)
NOT_FOUND = answer(404, envelope("404 Not Found", "not_found"))
INCORRECT = answer(422, envelope("422 Unprocessable Entity", "incorrect_value", field="/data/lead_id"))
CONFLICT = answer(409, envelope("409 Conflict", "conflict"))
NO_SCOPE = answer(403, envelope("403 Forbidden", "insufficient_scope"))
UNTRUSTED = NoAnswer(sent=False, reason="the certificate is not trusted", misconfigured=True)
Reply = Answer | NoAnswer


class Post(msgspec.Struct, frozen=True):
    """What happens to one POST.

    :param reply: instead of the API's own answer; ``None``: its own.
    :param commit_after: seconds after it was sent until the lead is converted; ``None``: never.
    :param takes: seconds until the reply.
    :param unseen: seconds after the commit until look-ups find it.
    """

    reply: Reply | None = None
    commit_after: float | None = 0.0
    takes: float = 0.1
    unseen: float = 0.0


class Account:
    """The API of one account on a simulated clock.

    :param posts: what happens to the POSTs in turn; then all is well.
    :param looks: replies to the look-ups in turn instead of the API's own; ``None`` for its own.
    :param again: its answer to a POST of a converted lead; ``None``: it converts it again.
    """

    def __init__(
        self,
        clock: Clock,
        posts: Iterable[Post] = (),
        looks: Iterable[Reply | None] = (),
        again: Reply | None = ALREADY,
    ) -> None:
        self._clock = clock
        self._posts = chain(posts, repeat(Post()))
        self._looks = chain(looks, repeat(None))
        self._again = again
        self.commits: list[tuple[float, float, int]] = []  # when made, when seen, id
        self.sent: list[tuple[str, float]] = []

    def __call__(self, request: Request, token: str) -> Reply:
        assert token == TOKEN
        self.sent.append((request.method, self._clock()))
        return self._look(request) if request.method == "GET" else self._convert(request)

    def close(self) -> None:
        pass

    def convert(self, after: float = 0.0, unseen: float = 0.0) -> int:
        made_at = self._clock() + after
        number = 100 + len(self.commits)
        self.commits.append((made_at, made_at + unseen, number))
        return number

    @property
    def posts(self) -> list[float]:
        return [at for method, at in self.sent if method == "POST"]

    @property
    def looks(self) -> list[float]:
        return [at for method, at in self.sent if method == "GET"]

    def _look(self, request: Request) -> Reply:
        assert parse_qs(request.query)["lead_id"] == ["5"]
        self._clock.sleep(0.1)
        reply = next(self._looks)
        seen = sorted((number for _, seen_at, number in self.commits if seen_at <= self._clock()), reverse=True)
        return reply or answer(200, page(*(row(number, 5) for number in seen[:1])))

    def _convert(self, request: Request) -> Reply:
        plan = next(self._posts)
        converted = [number for made_at, _, number in self.commits if made_at <= self._clock()]
        if converted and self._again is not None:
            own = self._again
        elif plan.commit_after is None:
            own = LOST
        else:
            number = self.convert(plan.commit_after, plan.unseen)
            own = answer(201, single(number, 5)) if plan.commit_after <= plan.takes else LOST
        self._clock.sleep(plan.takes)
        return plan.reply or own


def account(posts=(), looks=(), again: Reply | None = ALREADY, **config):
    clock = Clock()
    server = Account(clock, posts, looks, again)
    return server, client(server, clock, **{"timeout": TIMEOUT, "settle_time": SETTLE, **config})


def test_an_unconverted_lead_is_looked_up_and_converted():
    server, made = account()
    result = convert_lead(made, LEAD)
    assert (result.outcome, result.conversion.id, result.error) == (Outcome.CONVERTED, 100, None)
    assert [method for method, _ in server.sent] == ["GET", "POST"]


@pytest.mark.parametrize("again", [ALREADY, None])
def test_a_converted_lead_is_existing_and_nothing_is_posted(again):
    server, made = account(again=again)
    number = server.convert()
    result = convert_lead(made, LEAD)
    assert (result.outcome, result.conversion.id, result.error) == (Outcome.EXISTING, number, None)
    assert server.posts == []


LOSSES = {
    "connection reset": LOST,
    "500": answer(500),
    "500 bare": answer(500, {"status": 500, "error": "x"}),
    "504 HTML": answer(504, HTML),
    "503": answer(503),
    "HTML 200": answer(200, HTML),
    "empty 200": answer(200),
    "half of the JSON": answer(200, b'{"data": {"id": 1'),
    "200 of another lead": answer(200, single(7, 6)),
    "409": CONFLICT,
    "redirect": answer(307),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
@pytest.mark.parametrize("again", [ALREADY, None], ids=["refuses a second", "converts again"])
def test_an_answer_lost_after_the_commit_costs_no_second_conversion(loss, again):
    server, made = account([Post(loss)], again=again)
    result = convert_lead(made, LEAD)
    assert (result.outcome, result.conversion.id) == (Outcome.CONVERTED, 100)
    assert len(server.posts) == len(server.commits) == 1


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_an_answer_lost_before_the_commit_costs_no_lead(loss):
    server, made = account([Post(loss, commit_after=None)])
    result = convert_lead(made, LEAD)
    assert result.outcome is Outcome.CONVERTED
    assert len(server.posts) == 2
    assert len(server.commits) == 1


@pytest.mark.parametrize("takes", [0.1, TIMEOUT])
def test_a_lead_is_judged_no_earlier_than_timeout_and_settle_time_after_its_request_was_sent(takes):
    server, made = account([Post(LOST, commit_after=None, takes=takes)])
    convert_lead(made, LEAD)
    first, second = server.posts
    assert second - first >= TIMEOUT + SETTLE
    judged = [at for at in server.looks if first < at < second]
    assert judged[-1] >= first + TIMEOUT + SETTLE


def test_an_attempt_that_overran_its_timeout_is_judged_by_its_end():
    server, made = account([Post(LOST, commit_after=100.0 + SETTLE - 1, takes=100.0)], again=None)
    assert convert_lead(made, LEAD).outcome is Outcome.CONVERTED
    assert len(server.commits) == 1


@pytest.mark.parametrize("late", [0.2, 15.0, TIMEOUT, TIMEOUT + SETTLE - 0.01])
@pytest.mark.parametrize("again", [ALREADY, None], ids=["refuses a second", "converts again"])
def test_a_late_commit_is_waited_for(late, again):
    server, made = account([Post(answer(504, HTML), commit_after=late)], again=again)
    result = convert_lead(made, LEAD)
    assert (result.outcome, result.conversion.id) == (Outcome.CONVERTED, 100)
    assert len(server.posts) == len(server.commits) == 1


@pytest.mark.parametrize("unseen", [1.0, SETTLE, TIMEOUT + SETTLE - 0.01])
def test_look_ups_may_lag(unseen):
    server, made = account([Post(LOST, unseen=unseen)], again=None)
    assert convert_lead(made, LEAD).outcome is Outcome.CONVERTED
    assert len(server.commits) == 1


@pytest.mark.parametrize(
    "again",
    [ALREADY, INCORRECT, NOT_FOUND, CONFLICT, answer(410), answer(403, envelope("403 Forbidden", "forbidden"))],
    ids=["422 already_exists", "422 incorrect_value", "404", "409", "410", "403"],
)
def test_a_refusal_because_the_lead_is_converted_is_no_failure(again):
    # Someone else converts the lead between our look-up and our request.
    server, made = account(again=again)
    look = server._look

    def look_then_convert(request):
        reply = look(request)
        if len(server.looks) == 1:
            server.convert()
        return reply

    server._look = look_then_convert
    result = convert_lead(made, LEAD)
    # After a 409 nobody can tell whose conversion it is.
    assert result.outcome is (Outcome.CONVERTED if again is CONFLICT else Outcome.EXISTING)
    assert result.conversion.id == 100
    assert len(server.posts) == 1


def test_the_same_record_returned_for_a_converted_lead_is_believed():
    server, made = account(again=answer(200, single(100, 5)), looks=[answer(200, page())])
    server.convert()
    assert convert_lead(made, LEAD).conversion.id == 100


def test_a_refusal_that_knows_more_than_the_look_up_is_given_the_settle_time():
    server, made = account()
    server.convert(unseen=SETTLE - 1)
    assert convert_lead(made, LEAD).outcome is Outcome.EXISTING


@pytest.mark.parametrize("refusal", [INCORRECT, NOT_FOUND, answer(400, {"message": "no"}), answer(403)])
def test_a_refused_lead_that_is_not_converted_failed(refusal):
    server, made = account([Post(refusal, commit_after=None)])
    result = convert_lead(made, LEAD)
    assert (result.outcome, result.conversion) == (Outcome.FAILED, None)
    assert result.error.status == refusal.status
    assert len(server.posts) == 1


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
def test_what_concerns_every_lead_is_raised(reply, kind, method):
    if method == "GET":
        server, made = account(looks=repeat(reply))
    else:
        server, made = account(repeat(Post(reply, commit_after=None)))
    with pytest.raises(kind):
        convert_lead(made, LEAD)
    assert server.commits == []


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
def test_a_lead_is_posted_four_times_at_the_most(loss):
    server, made = account(repeat(Post(loss, commit_after=None)))
    result = convert_lead(made, LEAD)
    assert (result.outcome, result.conversion) == (Outcome.UNKNOWN, None)
    assert isinstance(result.error, UnknownOutcomeError)
    assert len(server.posts) == MAX_POSTS == 4
    assert server.looks[-1] >= server.posts[-1] + TIMEOUT + SETTLE, "even the last request is given its time"


def test_the_fourth_request_may_be_the_one_that_is_found():
    lost = Post(LOST, commit_after=None)
    _, made = account([lost, lost, lost, Post(LOST, commit_after=59.0)])
    assert convert_lead(made, LEAD).outcome is Outcome.CONVERTED


@pytest.mark.parametrize(("late", "outcome"), [(None, Outcome.UNKNOWN), (50.0, Outcome.CONVERTED)])
def test_report_never_posts_again(late, outcome):
    server, made = account([Post(LOST, commit_after=late)])
    assert convert_lead(made, LEAD, on_unknown="report").outcome is outcome
    assert len(server.posts) == 1


def boom():
    raise RuntimeError("the secrets backend is down")


FAILING_LOOKS = {
    "503": (answer(503), None),
    "lost": (LOST, None),
    "no sense": (answer(200, HTML), None),
    "401": (UNAUTHORIZED, None),
    "401, and the token cannot be read again": (UNAUTHORIZED, boom),
    "403": (NO_SCOPE, None),
    "400": (answer(400), None),
    "404": (answer(404), None),
    "bad certificate": (UNTRUSTED, None),
}


@pytest.mark.parametrize(("reply", "renew"), FAILING_LOOKS.values(), ids=FAILING_LOOKS.keys())
@pytest.mark.parametrize("good_looks", [1, 2], ids=["the first look", "the look that judges"])
@pytest.mark.parametrize("commit_after", [0.0, None])
def test_a_doubt_is_not_lost_when_look_ups_fail(reply, renew, good_looks, commit_after):
    clock = Clock()
    unseen = 1e9 if good_looks == 2 else 0.0
    looks = chain(repeat(None, good_looks), repeat(reply))
    server = Account(clock, [Post(LOST, commit_after, unseen=unseen)], looks)
    result = convert_lead(client(server, clock, renew), LEAD)
    assert result.outcome is Outcome.UNKNOWN
    assert isinstance(result.error, UnknownOutcomeError)
    assert result.error.__cause__ is not None
    assert len(server.posts) == 1


@pytest.mark.parametrize(
    "then", [NOT_SENT, UNAUTHORIZED, NO_SCOPE, UNTRUSTED, answer(429), INCORRECT, NOT_FOUND, ALREADY, answer(403)]
)
def test_a_doubt_is_not_lost_when_a_later_request_is_refused(then):
    # The first request is committed later than anything allows; what the second is told must not hide that.
    _, made = account([Post(LOST, commit_after=None), *repeat(Post(then, commit_after=None), 99)])
    result = convert_lead(made, LEAD)
    assert result.outcome is Outcome.UNKNOWN
    assert isinstance(result.error, UnknownOutcomeError)


def test_a_conversion_that_a_second_request_was_refused_for_is_ours():
    server, made = account([Post(LOST, commit_after=TIMEOUT + SETTLE + 0.3), Post()])
    assert convert_lead(made, LEAD).outcome is Outcome.CONVERTED
    assert len(server.commits) == 1


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
        "throttled": answer(429),
        "not sent": NOT_SENT,
        "refused": draw(st.sampled_from([INCORRECT, NOT_FOUND, answer(400), answer(403)])),
    }[kind]
    return Post(reply, None, takes)


looks = st.sampled_from([None, None, None, answer(429), answer(503), LOST, answer(200, HTML), answer(409)])


@settings(max_examples=400, deadline=None)
@given(
    st.lists(plans(), max_size=6),
    st.lists(looks, max_size=12),
    st.sampled_from([None, ALREADY, INCORRECT, NOT_FOUND, CONFLICT]),
    st.sampled_from(["retry", "report"]),
)
def test_no_lead_is_converted_twice_and_no_outcome_is_untrue(posts, looks, again, on_unknown):
    server, made = account([*posts, Post()], looks, again)
    try:
        result = convert_lead(made, LEAD, on_unknown=on_unknown)
    except (UnavailableError, PermissionDeniedError, InvalidResponseError):
        assert server.commits == [], "an error for all leads must not hide a conversion"
        return
    made.sleep(TIMEOUT + SETTLE)
    assert len(server.commits) <= 1
    assert result.outcome in set(Outcome) - {Outcome.NOT_ATTEMPTED}
    if result.outcome in {Outcome.CONVERTED, Outcome.EXISTING}:
        assert result.conversion.id == server.commits[0][2]
    if result.outcome is Outcome.FAILED:
        assert server.commits == []
    assert (result.error is None) is (result.conversion is not None)
