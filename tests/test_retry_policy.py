from __future__ import annotations

import json
import sys
from datetime import timedelta
from unittest import mock

import pytest
from capabilities import needs_retry_policy

from airflow_provider_leadconv.api.errors import (
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

needs_retry_policy.or_skip_module()

from airflow_harness import run_task  # noqa: E402

from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook  # noqa: E402
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator  # noqa: E402
from airflow_provider_leadconv.retry_policy import LeadConversionRetryPolicy  # noqa: E402
from airflow_provider_leadconv.sandbox import Fault  # noqa: E402

POLICY = LeadConversionRetryPolicy(unavailable_delay=timedelta(minutes=7), unknown_delay=timedelta(seconds=50))


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
        (UnavailableError("x"), "retry", 420),
        (RateLimitedError("x"), "retry", 420),
        (stopped_by(UnavailableError("x")), "retry", 420),
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


def test_it_survives_serialisation():
    again = LeadConversionRetryPolicy.deserialize(json.loads(json.dumps(POLICY.serialize())))
    assert vars(again) == vars(POLICY)


def retried_after(run):
    return getattr(run.message, "retry_delay_seconds", None)


def test_in_a_task_an_outage_is_waited_for(sandbox, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_LEADCONV_DEFAULT",
        json.dumps({**sandbox.connection, "extra": {"timeout": 1, "retry_timeout": 1, "settle_time": 0.1}}),
    )
    sandbox.faults = [Fault(name="error_503")]
    run = run_task(LeadConversionBulkOperator(task_id="t", leads=sandbox.leads, retries=3, retry_policy=POLICY))
    assert (run.state, type(run.error)) == ("up_for_retry", UnavailableError)
    assert retried_after(run) == 420


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


def test_an_older_airflow_is_told(monkeypatch):
    monkeypatch.delitem(sys.modules, "airflow_provider_leadconv.retry_policy")
    older = mock.Mock(spec=[])
    patched = mock.patch.dict(sys.modules, {"airflow.providers.common.compat.sdk": older})
    with patched, pytest.raises(ImportError, match=r"needs Airflow 3\.3"):
        import airflow_provider_leadconv.retry_policy  # noqa: F401
