"""The sensor, in every mode, through Airflow's task runner and against the sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from threading import Timer
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_leadconv.api.exceptions import InvalidRequestError, UnavailableError
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor
from airflow_provider_leadconv.waiting import outage
from airflow_provider_leadconv.waiting.check import LeadCheck
from tests.support.airflow_harness import run_task
from tests.support.endpoint import Endpoint
from tests.support.responses import AFTER, BEFORE, NOT_SENT
from tests.support.sensor_driver import MODES, Wait

pytestmark = pytest.mark.usefixtures("sandbox")


@pytest.fixture(params=MODES)
def wait(request: pytest.FixtureRequest) -> Wait:
    return Wait(request.param)


def soon(act: Callable[..., Any], *args: Any) -> None:
    Timer(0.3, act, args).start()


def test_one_converted_lead_gives_its_conversion(sandbox: Sandbox, wait: Wait) -> None:
    conversion = sandbox.conversions[7]
    assert wait(lead_id=conversion["lead_id"]).value == conversion


def test_a_list_gives_a_list_in_the_order_asked_for_each_lead_once(sandbox: Sandbox, wait: Wait) -> None:
    newest, oldest = sandbox.conversions[0], sandbox.conversions[-1]
    lead_ids = [oldest["lead_id"], newest["lead_id"], oldest["lead_id"]]
    assert wait(lead_id=lead_ids).value == [oldest, newest]


def test_a_list_of_one_gives_a_list(sandbox: Sandbox, wait: Wait) -> None:
    assert wait(lead_id=[sandbox.conversions[0]["lead_id"]]).value == [sandbox.conversions[0]]


def test_no_leads_at_all_are_all_converted(wait: Wait) -> None:
    assert wait(lead_id=[]).value == []


@pytest.mark.parametrize(
    ("template", "is_list"),
    [
        ("{{ params.lead }}", False),
        ("[{{ params.lead }}]", True),
        ("{{ [params.lead] }}", True),
        ("{{ [params.lead | string] }}", True),
    ],
)
def test_templates(sandbox: Sandbox, wait: Wait, template: str, is_list: bool) -> None:
    conversion = sandbox.conversions[3]
    value = wait(lead_id=template, params={"lead": conversion["lead_id"]}).value
    assert value == ([conversion] if is_list else conversion)


def test_waits_until_the_lead_is_converted(sandbox: Sandbox, wait: Wait) -> None:
    lead_id = sandbox.leads[0]
    soon(sandbox.add_conversion, lead_id)
    run = wait(lead_id=lead_id)
    assert run.state == "success"
    assert run.value == sandbox.conversions[0]


def test_waits_for_the_last_of_a_list(sandbox: Sandbox, wait: Wait) -> None:
    converted, *pending = sandbox.conversions[5]["lead_id"], *sandbox.leads[:3]
    for lead_id in pending:
        soon(sandbox.add_conversion, lead_id)
    run = wait(lead_id=[converted, *pending])
    assert [conversion["lead_id"] for conversion in run.value] == [converted, *pending]


def test_timeout(sandbox: Sandbox, wait: Wait) -> None:
    run = wait(lead_id=sandbox.leads[0], timeout=0.2, retries=3)
    assert run.state == "failed"
    assert isinstance(run.error, AirflowSensorTimeout)


def test_timeout_skips_with_soft_fail(sandbox: Sandbox, wait: Wait) -> None:
    assert wait(lead_id=sandbox.leads[0], timeout=0.2, soft_fail=True).state == "skipped"


@pytest.mark.parametrize("lead_id", ["many", "[1, 'two']", "[1", True, 0, 2**63, 1.5, None, {"lead_id": 1}])
def test_an_invalid_lead_id_fails_at_once(wait: Wait, lead_id: Any) -> None:
    run = wait(lead_id=lead_id, retries=3)
    assert run.state == "failed"
    assert isinstance(run.error, AirflowFailException)
    assert isinstance(run.error.__context__, InvalidRequestError)
    assert "lead_id" in str(run.error)


def test_a_refused_token_fails_at_once(sandbox: Sandbox, wait: Wait) -> None:
    sandbox.revoke_token(sandbox.token)
    run = wait(lead_id=sandbox.leads[0], retries=3)
    assert run.state == "failed"
    assert "access token" in str(run.error)
    assert sandbox.token not in str(run.error)


def test_a_retired_api_fails_at_once_and_is_named(sandbox: Sandbox, wait: Wait) -> None:
    sandbox.faults = ["retired"]
    run = wait(lead_id=sandbox.leads[0], retries=3, silent_fail=True)
    assert run.state == "failed"
    assert "2027-08-31" in str(run.error)


def test_an_outage_after_the_retirement_ends_a_sensor_that_ignores_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "MAX_OUTAGE", 0.0)
    date, endpoint = BEFORE, Endpoint(on_request=lambda sent: NOT_SENT)
    client = endpoint.client(now=lambda: date, retry_timeout=30.0)
    monkeypatch.setattr(LeadConversionHook, "get_conn", lambda hook: client)
    sensor = LeadConversionSensor(task_id="wait", lead_id=1, silent_fail=True)
    assert not sensor.poke({})
    date = AFTER
    with pytest.raises(AirflowFailException, match="2027-08-31"):
        sensor.poke({})


def test_a_token_refused_while_waiting_fails_at_once(sandbox: Sandbox, wait: Wait) -> None:
    soon(sandbox.revoke_token, sandbox.token)
    run = wait(lead_id=sandbox.leads[0], retries=3)
    assert run.state == "failed"
    assert isinstance(run.error, AirflowFailException)
    assert "access token" in str(run.error)


def test_a_permanent_error_skips_with_soft_fail(sandbox: Sandbox, wait: Wait) -> None:
    soon(sandbox.revoke_token, sandbox.token)
    assert wait(lead_id=sandbox.leads[0], soft_fail=True).state == "skipped"


@pytest.mark.parametrize("fault", ["error_500", "throttle_429", "throttle_404", "html_200", "drop_before"])
def test_a_transient_failure_is_retried(sandbox: Sandbox, wait: Wait, fault: str) -> None:
    sandbox.faults = [f"{fault},times=4"]
    lead_id = sandbox.conversions[0]["lead_id"]
    assert wait(lead_id=lead_id).value == sandbox.conversions[0]


@pytest.mark.parametrize("soft_fail", [False, True])
def test_too_many_failures_in_a_row_are_retried_by_airflow(sandbox: Sandbox, wait: Wait, soft_fail: bool) -> None:
    sandbox.faults = ["error_503"]
    run = wait(lead_id=sandbox.leads[0], max_consecutive_failures=2, retries=1, soft_fail=soft_fail)
    assert run.state == "up_for_retry"
    assert isinstance(run.error, UnavailableError)
    assert run.error.status_code == 503
    # The triggerer counts afresh after the one check on the worker.
    assert len(sandbox.requests) == (4 if wait.mode == "deferrable" else 3)


def test_silent_fail_counts_no_failures(sandbox: Sandbox, wait: Wait) -> None:
    sandbox.faults = ["error_503"]
    run = wait(lead_id=sandbox.leads[0], max_consecutive_failures=0, silent_fail=True, timeout=0.5)
    assert isinstance(run.error, AirflowSensorTimeout)


def test_an_answered_check_starts_the_count_afresh(sandbox: Sandbox) -> None:
    sensor = LeadConversionSensor(task_id="wait", lead_id=sandbox.leads[0], max_consecutive_failures=1, poke_interval=0)
    for _ in range(3):
        sandbox.faults = ["error_500,times=1"]
        assert not sensor.poke({})
        assert not sensor.poke({})


def test_reschedule_keeps_its_process_only_while_checks_fail(sandbox: Sandbox) -> None:
    sensor = LeadConversionSensor(task_id="wait", lead_id=sandbox.leads[0], mode="reschedule", poke_interval=0)
    sandbox.faults = ["error_500,times=1"]
    assert sensor.reschedule
    sensor.poke({})
    assert not sensor.reschedule
    sensor.poke({})
    assert sensor.reschedule


def test_one_lead_costs_one_request_a_poke(sandbox: Sandbox) -> None:
    sensor = LeadConversionSensor(task_id="wait", lead_id=sandbox.leads[0], mode="poke")
    for poke in range(3):
        sensor.poke({})
        assert len(sandbox.requests) == poke + 1


@pytest.mark.parametrize(("new", "pages"), [(0, 1), (90, 1), (290, 2), (1000, 6)])
def test_many_leads_cost_the_pages_of_new_conversions(sandbox: Sandbox, new: int, pages: int) -> None:
    leads = sandbox.add_leads(50)
    for _ in range(400):
        sandbox.add_conversion()
    sensor = LeadConversionSensor(task_id="wait", lead_id=leads, mode="poke")
    sensor.poke({})
    sandbox.add_conversion(leads[0])
    for _ in range(new):
        sandbox.add_conversion()
    sandbox.clear_requests()
    assert not sensor.poke({})
    assert sensor._check.leads.progress.startswith("1 of 50 leads are converted; waiting for ")
    assert len(sandbox.requests) == pages


def test_reschedule_stops_at_the_first_lead_that_is_not_converted(sandbox: Sandbox) -> None:
    for _ in range(300):
        sandbox.add_conversion()
    sensor = LeadConversionSensor(task_id="wait", lead_id=sandbox.add_leads(50), mode="reschedule")
    assert not sensor.poke({})
    assert len(sandbox.requests) == 1


@pytest.fixture
def before_the_final_check(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Lets something happen between the last regular check and the final check."""

    def let(happen: Callable[[], Any]) -> None:
        check_all = LeadCheck.check_all

        def final_check(check: LeadCheck, source: Any, *, needs_watermark: bool = False) -> None:
            if not needs_watermark:
                happen()
            check_all(check, source, needs_watermark=needs_watermark)

        monkeypatch.setattr(LeadCheck, "check_all", final_check)

    return let


@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("soft_fail", [False, True])
def test_the_final_check_before_a_timeout_finds_new_conversions(
    sandbox: Sandbox, wait: Wait, before_the_final_check: Any, number: int, soft_fail: bool
) -> None:
    leads = sandbox.leads[:number]
    before_the_final_check(lambda: [sandbox.add_conversion(lead_id) for lead_id in leads])
    run = wait(lead_id=leads, timeout=0.2, soft_fail=soft_fail)
    assert run.state == "success"
    assert [conversion["lead_id"] for conversion in run.value] == leads


def test_the_final_check_looks_up_every_lead(sandbox: Sandbox, wait: Wait, before_the_final_check: Any) -> None:
    for _ in range(400):
        sandbox.add_conversion()
    leads = sandbox.leads[:3]
    before_the_final_check(sandbox.clear_requests)
    run = wait(lead_id=leads, timeout=0.2)
    assert {int(request.query["lead_id"]) for request in sandbox.requests if "lead_id" in request.query} == set(leads)
    assert (
        str(run.error)
        == f"timed out after 0.2 s: 0 of 3 leads are converted; waiting for leads {', '.join(map(str, leads))}"
    )


@pytest.mark.parametrize(("soft_fail", "state"), [(False, "failed"), (True, "skipped")])
def test_a_token_refused_at_the_final_check_fails_without_retries(
    sandbox: Sandbox, wait: Wait, before_the_final_check: Any, soft_fail: bool, state: str
) -> None:
    before_the_final_check(lambda: sandbox.revoke_token(sandbox.token))
    run = wait(lead_id=sandbox.leads[0], timeout=0.2, soft_fail=soft_fail, retries=3)
    assert run.state == state
    assert soft_fail or isinstance(run.error, AirflowFailException)


def test_a_failed_final_check_ends_in_the_timeout(sandbox: Sandbox, wait: Wait, before_the_final_check: Any) -> None:
    before_the_final_check(lambda: setattr(sandbox, "faults", ["error_503"]))
    run = wait(lead_id=sandbox.leads[0], timeout=0.2)
    assert isinstance(run.error, AirflowSensorTimeout)


def test_progress_is_logged_once_a_minute(sandbox: Sandbox, logged: Callable[[], str]) -> None:
    sensor = LeadConversionSensor(task_id="wait", lead_id=[sandbox.leads[0], sandbox.conversions[0]["lead_id"]])
    for _ in range(3):
        sensor.poke({})
    assert logged().count(f"1 of 2 leads are converted; waiting for lead {sandbox.leads[0]}") == 1


def deferral(**arguments: Any) -> dict[str, Any]:
    run = run_task(LeadConversionSensor(task_id="wait", deferrable=True, **arguments))
    assert run.state == "deferred"
    return run.deferral


def test_a_deferral_has_the_pending_leads_and_no_token(sandbox: Sandbox) -> None:
    converted, pending = sandbox.conversions[0], sandbox.leads[0]
    said = deferral(lead_id=[converted["lead_id"], pending], timeout=600, poke_interval=7)
    assert said["timeout"] == timedelta(seconds=600)
    assert said["trigger_kwargs"] == {
        "lead_ids": [pending],
        "leadconv_conn_id": "leadconv_default",
        "start_watermark": converted["id"],
        "poll_interval": 7.0,
        "deadline": pytest.approx(time.time() + 600, abs=60),
        "max_consecutive_failures": 10,
    }
    assert said["next_kwargs"] == {"found": [converted]}
    assert sandbox.token not in str(said)


def test_the_watermark_is_read_before_the_look_up(sandbox: Sandbox) -> None:
    for _ in range(200):
        sandbox.add_conversion()
    deferral(lead_id=sandbox.leads[0])
    assert ["lead_id" in request.query for request in sandbox.requests] == [False, True]


def test_a_failed_first_check_leaves_watermark_0(sandbox: Sandbox) -> None:
    sandbox.faults = ["error_503"]
    assert deferral(lead_id=sandbox.leads[0], poke_interval=0)["trigger_kwargs"]["start_watermark"] == 0


@pytest.mark.parametrize(
    ("convert", "soft_fail", "state"),
    [(True, False, "success"), (False, False, "failed"), (False, True, "skipped")],
)
def test_the_deferral_timeout_of_airflow_runs_a_final_check(
    sandbox: Sandbox, convert: bool, soft_fail: bool, state: str
) -> None:
    lead_id = sandbox.leads[0]
    if convert:
        sandbox.add_conversion(lead_id)
    sensor = LeadConversionSensor(task_id="wait", lead_id=lead_id, deferrable=True, soft_fail=soft_fail, retries=2)
    timer = {"next_method": "__fail__", "next_kwargs": {"error": "Trigger timeout"}}
    run = run_task(sensor, server=timer)
    assert run.state == state
    assert run.value == (sandbox.conversions[0] if convert else None)
    if state == "failed":
        assert isinstance(run.error, AirflowSensorTimeout)


@pytest.mark.parametrize("event", [None, "done", {}, {"status": "success"}, {"status": "error", "error": {}}])
def test_an_unknown_event_is_an_error(sandbox: Sandbox, event: Any) -> None:
    sensor = LeadConversionSensor(task_id="wait", lead_id=sandbox.leads[0], deferrable=True)
    with pytest.raises(ValueError, match="does not know"):
        sensor.execute_complete({}, event)
