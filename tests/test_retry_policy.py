from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from unittest import mock

import pytest

from airflow_provider_leadconv.api.exceptions import (
    AuthenticationError,
    ConnectionConfigError,
    DuplicateConversionError,
    InvalidRequestError,
    LeadsNotConvertedError,
    PermissionDeniedError,
    RateLimitedError,
    UnavailableError,
    UnknownOutcomeError,
)
from tests.support.capabilities import AIRFLOW, needs_reschedule, needs_retry_policy

needs_retry_policy.or_skip_module()

from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook  # noqa: E402
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator  # noqa: E402
from airflow_provider_leadconv.retry_policy import LeadConversionRetryPolicy  # noqa: E402
from airflow_provider_leadconv.sandbox import Fault  # noqa: E402
from tests.support.airflow_harness import run_task  # noqa: E402

POLICY = LeadConversionRetryPolicy(unavailable_delay=timedelta(minutes=7), unknown_delay=timedelta(seconds=50))
IN_AN_OUTAGE = "reschedule" if AIRFLOW >= (3, 4) else "retry"


def stopped_by(cause):
    error = LeadsNotConvertedError("stopped")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "action", "seconds"),
    [
        (AuthenticationError("x"), "fail", None),
        (PermissionDeniedError("x"), "fail", None),
        (ConnectionConfigError("x"), "fail", None),
        (InvalidRequestError("x"), "fail", None),
        (stopped_by(AuthenticationError("x")), "fail", None),
        (UnavailableError("x"), IN_AN_OUTAGE, 420),
        (RateLimitedError("x"), IN_AN_OUTAGE, 420),
        (stopped_by(UnavailableError("x")), IN_AN_OUTAGE, 420),
        (UnknownOutcomeError("x"), "retry", 50),
        (LeadsNotConvertedError("x"), "retry", 50),
        (DuplicateConversionError("x"), "default", None),
        (RuntimeError("x"), "default", None),
    ],
)
def test_decisions(error, action, seconds):
    decision = POLICY.evaluate(error, 1, 3)
    assert decision.action.value == action
    assert decision.retry_delay == (timedelta(seconds=seconds) if seconds else None)


def test_without_an_outage_timeout_an_outage_is_a_retry():
    decision = LeadConversionRetryPolicy(outage_timeout=None).evaluate(UnavailableError("x"), 1, 3)
    assert (decision.action.value, decision.retry_delay) == ("retry", timedelta(minutes=5))


@needs_reschedule
def test_reschedules_are_bounded():
    decision = LeadConversionRetryPolicy(outage_timeout=timedelta(hours=2)).evaluate(UnavailableError("x"), 1, 3)
    assert decision.reschedule_timeout == timedelta(hours=2)


@pytest.mark.parametrize(
    "policy",
    [
        POLICY,
        LeadConversionRetryPolicy(outage_timeout=None),
        LeadConversionRetryPolicy(unavailable_delay=timedelta(0), outage_timeout=timedelta(0)),
    ],
)
def test_it_survives_serialisation(policy):
    again = LeadConversionRetryPolicy.deserialize(json.loads(json.dumps(policy.serialize())))
    assert vars(again) == vars(policy)


def retried_after(run):
    return getattr(run.message, "retry_delay_seconds", None)


@pytest.fixture
def outage(sandbox, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEADCONV_DEFAULT",
        json.dumps({**sandbox.connection, "extra": {"timeout": 1, "retry_timeout": 1, "settle_time": 0.1}}),
    )
    sandbox.faults = [Fault(name="error_503")]
    return sandbox


def bulk_in(outage, **options):
    return LeadConversionBulkOperator(
        task_id="t", leads=outage.leads, **{"retries": 3, "retry_policy": POLICY, **options}
    )


@pytest.mark.skipif(AIRFLOW >= (3, 4), reason="Airflow 3.4 reschedules")
def test_in_a_task_an_outage_is_waited_for(outage):
    run = run_task(bulk_in(outage))
    assert (run.state, type(run.error)) == ("up_for_retry", UnavailableError)
    assert retried_after(run) == 420


@needs_reschedule
def test_in_a_task_an_outage_is_waited_for_without_a_retry(outage):
    run = run_task(bulk_in(outage, retries=0))
    assert (run.state, type(run.error)) == ("up_for_reschedule", UnavailableError)
    assert run.message.reschedule_date - run.message.end_date == timedelta(minutes=7)


@needs_reschedule
@pytest.mark.parametrize(("hours", "state"), [(0.9, "up_for_reschedule"), (1.1, "up_for_retry")])
def test_in_a_task_a_long_outage_takes_the_retries(outage, hours, state):
    since = datetime.now(UTC) - timedelta(hours=hours)
    server = {"task_reschedule_count": 9, "first_task_reschedule_start_date": since}
    assert run_task(bulk_in(outage), server=server).state == state


def test_in_a_task_a_token_that_may_not_convert_fails_at_once(sandbox, monkeypatch):
    sandbox.add_token("reader", ["read"])
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "reader"}))
    run = run_task(LeadConversionBulkOperator(task_id="t", leads=sandbox.leads[:2], retries=3, retry_policy=POLICY))
    assert (run.state, type(run.error)) == ("failed", LeadsNotConvertedError)


def test_in_a_python_task(sandbox, monkeypatch):
    from airflow.sdk import DAG, task

    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, "password": "nobody"}))

    @task(retries=3, retry_policy=POLICY)
    def convert():
        list(LeadConversionHook().convert_leads(sandbox.leads))

    with DAG("python", schedule=None) as dag:
        convert()
    run = run_task(dag.get_task("convert"))
    assert (run.state, type(run.error)) == ("failed", AuthenticationError)
    monkeypatch.delenv("AIRFLOW_CONN_LEADCONV_DEFAULT")
    run = run_task(dag.get_task("convert"))
    assert (run.state, type(run.error)) == ("failed", ConnectionConfigError), "without a connection"


def test_an_older_airflow_raises_an_import_error(monkeypatch):
    monkeypatch.delitem(sys.modules, "airflow_provider_leadconv.retry_policy")
    older = mock.Mock(spec=[])
    patched = mock.patch.dict(sys.modules, {"airflow.providers.common.compat.sdk": older})
    with patched, pytest.raises(ImportError, match=r"requires Airflow 3\.3"):
        import airflow_provider_leadconv.retry_policy  # noqa: F401
