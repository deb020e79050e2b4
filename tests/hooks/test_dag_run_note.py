"""The note of a DAG run, which a bulk writes if it is asked to."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.hooks.dag_run_note import write_dag_run_note
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from tests.support.airflow_harness import Ledger, run_task
from tests.support.capabilities import AIRFLOW, needs_note


def notes(ledger):
    return [message.note for message in ledger.sent if type(message).__name__ == "UpdateDagRunNote"]


@needs_note
@pytest.mark.parametrize("dag_run_note", [True, False])
def test_the_summary_is_the_note_if_it_is_asked_for(sandbox, dag_run_note):
    leads = sandbox.leads[:2]
    run = run_task(LeadConversionBulkOperator(task_id="convert", leads=leads, dag_run_note=dag_run_note))
    assert run.state == "success", run.error
    assert [note.partition(";")[0] for note in notes(run.ledger)] == ["2 leads: 2 converted"] * dag_run_note


@needs_note
def test_a_bulk_that_fails_writes_it_too(sandbox):
    run = run_task(LeadConversionBulkOperator(task_id="convert", leads=[1], dag_run_note="true"))
    assert run.state == "failed"
    assert [note.partition(";")[0] for note in notes(run.ledger)] == ["1 leads: 1 failed"]


@needs_note
def test_a_note_that_is_rejected_is_logged_and_does_not_fail_the_task(sandbox, caplog):
    from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse

    class Rejecting(Ledger):
        def send(self, msg):
            if type(msg).__name__ == "UpdateDagRunNote":
                raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
            return super().send(msg)

    task = LeadConversionBulkOperator(task_id="convert", leads=sandbox.leads[:2], dag_run_note=True)
    assert run_task(task, ledger=Rejecting()).state == "success"
    assert any("Airflow did not take it" in message for message in caplog.messages)


@pytest.mark.skipif(AIRFLOW >= (3, 4), reason="Airflow 3.4 writes the note")
def test_an_older_airflow_skips_it(sandbox, caplog):
    caplog.set_level("INFO")
    run = run_task(LeadConversionBulkOperator(task_id="convert", leads=sandbox.leads[:2], dag_run_note=True))
    assert run.state == "success", run.error


class Unreachable:
    """A task instance whose API server does not answer."""

    def update_dagrun_note(self, note: str) -> None:
        raise ConnectionError("connection refused")


def test_whatever_airflow_raises_is_logged_only(caplog):
    write_dag_run_note({"ti": Unreachable()}, "2 leads")
    assert caplog.messages == ["Skipped the note of the DAG run: Airflow did not take it: connection refused"]


def test_outside_of_a_task_it_is_skipped(caplog):
    caplog.set_level("INFO")
    write_dag_run_note({}, "2 leads")
    assert caplog.messages == ["Skipped the note of the DAG run: it needs a task of Airflow 3.4 or later"]
