"""The marker of a task instance, in the state store where there is one."""

from __future__ import annotations

import os
import time
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.hooks.task_marker import KEY, TaskMarker, current_task_marker, is_rerun, task_marker
from airflow_provider_leadconv.sandbox import Fault
from tests.support.airflow_harness import run_task
from tests.support.capabilities import needs_state_store

SETTLED = 2.1
"""``timeout + settle_time`` of the fixture ``sandbox``, in seconds."""


class Store(dict):
    """A state store."""

    set = dict.__setitem__


@pytest.mark.parametrize(
    ("try_number", "reschedules", "may_follow"),
    [(1, {}, False), (1, {"task_reschedule_count": 0}, False), (1, {"task_reschedule_count": 1}, True), (2, {}, True)],
)
def test_without_a_store_a_retry_or_a_reschedule_may_follow_a_killed_process(try_number, reschedules, may_follow):
    context = {"ti": SimpleNamespace(run_id=uuid4().hex, try_number=try_number), **reschedules}
    assert task_marker(context).is_set() is may_follow
    assert is_rerun(context) is may_follow


@pytest.mark.parametrize("try_number", [1, 2])
def test_without_a_store_a_process_waits_once_and_after_what_it_left_unresolved(try_number, monkeypatch):
    context = {"ti": SimpleNamespace(run_id=uuid4().hex, try_number=try_number)}
    first, second = task_marker(context), task_marker(context)
    assert first.is_set() is second.is_set() is (try_number == 2)
    first.set()
    assert second.is_set()
    first.clear()
    assert not second.is_set()
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert task_marker(context).is_set() is (try_number == 2)


@pytest.mark.parametrize("is_rerun", [True, False])
def test_what_is_stored_counts_whatever_the_number_of_the_try(is_rerun):
    store = Store()
    marker = TaskMarker(store, is_rerun=is_rerun)
    assert marker.is_set() is is_rerun  # nothing is stored
    marker.set()
    assert TaskMarker(store, is_rerun=is_rerun).is_set()
    marker.clear()
    assert not TaskMarker(store, is_rerun=is_rerun).is_set()


def test_outside_of_a_task_nothing_is_remembered():
    assert not task_marker({}).is_set()
    assert not is_rerun({})
    assert not current_task_marker().is_set()


@needs_state_store
@pytest.mark.parametrize("convert", ["convert_lead", "convert_leads"])
def test_a_hook_in_a_task_waits_if_an_earlier_process_was_killed_while_sending(sandbox, convert):
    from airflow.sdk import task

    lead = sandbox.leads[0]

    @task
    def work(stored):
        from airflow.sdk import get_current_context

        store = get_current_context()["task_state_store"]
        if stored:
            store.set(KEY, stored)
        started = time.monotonic()
        hook = LeadConversionHook()
        results = [hook.convert_lead(lead)] if convert == "convert_lead" else list(hook.convert_leads([lead]))
        return [[str(result.status) for result in results], time.monotonic() - started, store.get(KEY)]

    statuses, seconds, stored = run_task(work.override(task_id="first")(None).operator).value
    assert (statuses, stored) == (["converted"], "resolved")
    assert seconds < SETTLED
    statuses, seconds, stored = run_task(work.override(task_id="second")("sending").operator).value
    assert (statuses, stored) == (["existing"], "resolved")
    assert seconds >= SETTLED


@needs_state_store
@pytest.mark.parametrize("convert", ["convert_lead", "convert_leads"])
def test_a_conversion_that_is_not_listed_yet_is_not_resolved(sandbox, convert):
    from airflow.sdk import task

    lead = sandbox.leads[0]
    sandbox.faults = [Fault(name="late_visible", seconds=60)]

    @task
    def work():
        from airflow.sdk import get_current_context

        hook = LeadConversionHook()
        results = [hook.convert_lead(lead)] if convert == "convert_lead" else list(hook.convert_leads([lead]))
        return [[str(result.status) for result in results], get_current_context()["task_state_store"].get(KEY)]

    assert run_task(work().operator).value == [["converted"], "sending"]
