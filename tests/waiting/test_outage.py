"""When waiting for an API that is gone ends."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.exceptions import LeadConversionError, RetiredError, UnavailableError
from airflow_provider_leadconv.waiting.outage import MAX_OUTAGE, Outage
from tests.support.clock import Clock


def failure(*, after_retirement: bool) -> LeadConversionError:
    error = UnavailableError("no connection")
    error.after_retirement = after_retirement
    return error


def kinds(outage: Outage, clock: Clock, *steps: tuple[float, LeadConversionError | None]) -> list[type | None]:
    """Let requests fail or succeed.

    :param steps: seconds until each request, and its error.
    :return: the class of each error that is raised.
    """
    raised: list[type | None] = []
    for seconds, error in steps:
        clock.sleep(seconds)
        try:
            with outage.measured():
                if error is not None:
                    raise error
        except LeadConversionError as other:
            raised.append(type(other))
        else:
            raised.append(None)
    return raised


def test_an_outage_after_the_retirement_ends_after_an_hour():
    clock, error = Clock(), failure(after_retirement=True)
    outage = Outage(clock)
    assert kinds(outage, clock, (0, error), (MAX_OUTAGE - 1, error), (1, error)) == [
        UnavailableError,
        UnavailableError,
        RetiredError,
    ]


def test_a_success_starts_the_hour_afresh():
    clock, error = Clock(), failure(after_retirement=True)
    steps = [(0, error), (MAX_OUTAGE - 1, None), (1, error), (MAX_OUTAGE - 1, error), (1, error)]
    assert kinds(Outage(clock), clock, *steps) == [
        UnavailableError,
        None,
        UnavailableError,
        UnavailableError,
        RetiredError,
    ]


def test_an_outage_before_the_retirement_has_no_end():
    clock, error = Clock(), failure(after_retirement=False)
    assert kinds(Outage(clock), clock, *[(MAX_OUTAGE, error)] * 100) == [UnavailableError] * 100


def test_the_hour_begins_with_the_retirement():
    clock = Clock()
    before, after = failure(after_retirement=False), failure(after_retirement=True)
    steps = [(0, before), (MAX_OUTAGE, after), (MAX_OUTAGE - 1, after), (1, after)]
    assert kinds(Outage(clock), clock, *steps)[1:] == [UnavailableError, UnavailableError, RetiredError]


def test_the_error_names_the_last_failure_and_the_retirement():
    clock = Clock()
    outage = Outage(clock)
    kinds(outage, clock, (0, failure(after_retirement=True)))
    clock.sleep(MAX_OUTAGE)
    with pytest.raises(RetiredError, match=r"3600 s, the last one with: no connection.*2027-08-31"), outage.measured():
        raise failure(after_retirement=True)
