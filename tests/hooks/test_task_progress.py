"""The progress of a task in its state store."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_leadconv.hooks.task_progress import INTERVAL, KEY, TaskProgress, reporting_progress
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.operators.export import LeadConversionExportOperator
from airflow_provider_leadconv.progress import Progress, ProgressLog, reporting_to
from airflow_provider_leadconv.sensors.leadconv import LeadConversionSensor
from tests.support.airflow_harness import run_task
from tests.support.capabilities import needs_state_store
from tests.support.clock import Clock

SOME = Progress("half of them", 50, 100, per_second=2.5, failed=3)


class Store:
    """A state store that remembers what was written, and when."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock
        self.written: list[tuple[float, object]] = []

    def set(self, key: str, value: object) -> None:
        assert key == KEY
        self.written.append((self.clock.now if self.clock else 0.0, value))


class BrokenStore:
    """A state store whose backend fails."""

    calls = 0

    def set(self, key: str, value: object) -> None:
        self.calls += 1
        raise ConnectionError("no bucket")


@pytest.mark.parametrize(
    ("progress", "value"),
    [
        (
            SOME,
            {"message": "half of them", "done": 50, "total": 100, "per_second": 2.5, "seconds_left": 20, "failed": 3},
        ),
        (
            Progress("more than expected", 9, total=5, per_second=2.0),
            {"message": "more than expected", "done": 9, "total": 5, "per_second": 2.0, "seconds_left": 0},
        ),
        (Progress("7 rows", 7, per_second=0.0), {"message": "7 rows", "done": 7, "per_second": 0.0}),
        ("Waiting", {"message": "Waiting"}),
    ],
)
def test_what_is_known_is_stored(progress, value):
    store = Store()
    TaskProgress(store).write(progress)
    assert store.written == [(0.0, value)]


def test_it_is_stored_at_once_and_then_once_an_interval():
    clock = Clock(1000.0)
    store, log = Store(clock), logging.getLogger("tests.task_progress")
    with reporting_to(TaskProgress(store, clock)):
        lines = ProgressLog(log, clock)
    for _ in range(60):
        lines.emit(lambda: SOME)
        clock.sleep(1)
    assert [moment - 1000 for moment, _ in store.written] == [0, INTERVAL, 2 * INTERVAL, 3 * INTERVAL]


def test_after_the_block_nothing_is_reported():
    store = Store()
    with reporting_progress({"task_state_store": store}):
        pass
    ProgressLog(logging.getLogger("tests.task_progress"), Clock(0.0)).emit(lambda: SOME)
    assert store.written == []


def test_a_store_that_fails_is_logged_once(caplog):
    store = BrokenStore()
    progress = TaskProgress(store)
    for _ in range(3):
        progress.write(SOME)
    assert store.calls == 1
    (message,) = caplog.messages
    assert "no bucket" in message


def test_without_a_store_nothing_is_made():
    with reporting_progress({}) as progress:
        progress.offer(lambda: pytest.fail("made"))
        progress.write(SOME)


@needs_state_store
def test_a_bulk_stores_how_far_it_came(sandbox):
    run = run_task(LeadConversionBulkOperator(task_id="convert", leads=[*sandbox.leads[:4], 1], max_failures=1))
    assert run.state == "success", run.error
    stored = run.ledger.store[KEY]
    assert (stored["done"], stored["total"], stored["failed"]) == (5, 5, 1)
    assert stored["message"].startswith("5 leads: 4 converted, 1 failed")


@needs_state_store
def test_an_export_stores_how_many_rows_it_wrote(sandbox, tmp_path):
    rows = len(sandbox.conversions)
    run = run_task(LeadConversionExportOperator(task_id="export", path=f"{tmp_path}/all.jsonl"))
    assert run.ledger.store[KEY] == {"message": f"Exported {rows} conversions", "done": rows, "total": rows}


@needs_state_store
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_sensor_stores_how_many_leads_are_converted(sandbox, deferrable):
    first, second = sandbox.leads[:2]
    sandbox.add_conversion(first)
    sensor = LeadConversionSensor(
        task_id="wait", lead_id=[first, second], deferrable=deferrable, poke_interval=1, timeout=0.1, soft_fail=True
    )
    stored = run_task(sensor).ledger.store[KEY]
    assert (stored["done"], stored["total"], stored["failed"]) == (1, 2, 0)


@needs_state_store
def test_a_sensor_that_succeeds_stores_it(sandbox):
    lead = sandbox.leads[0]
    sandbox.add_conversion(lead)
    run = run_task(LeadConversionSensor(task_id="wait", lead_id=lead, poke_interval=1))
    assert run.ledger.store[KEY] == {"message": "1 of 1 leads are converted", "done": 1, "total": 1}
