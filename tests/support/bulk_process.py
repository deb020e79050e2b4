"""Converts leads in processes that can be killed: each line of stdin, a JSON object of options, is one process.

They are forked from this one, which has no threads, so that Airflow is imported once. The id of each is a line of
stdout. A line of stdin that is an id waits for the end of that process, and its status is a line of stdout.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator
from airflow_provider_leadconv.storage import lease
from tests.support.bulk_runs import full_rate
from tests.support.capabilities import AIRFLOW


def client():
    config = LeadConversionHook().get_conn().config
    return LeadConversionsClient(config, limiter=full_rate(config))


def operator(run, try_number, starts_at_full_rate=True, shares_locks=True, lease_seconds=1.0, **options):
    """The operator, without Airflow around it.

    :param shares_locks: whether this process sees locks of others, as on one host.
    """
    lease.LEASE_SECONDS, lease.RENEW_AFTER = lease_seconds, lease_seconds / 2
    if not shares_locks:
        fcntl.flock = lambda file, operation: None
    task = LeadConversionBulkOperator(task_id="convert", **options)
    if starts_at_full_rate:
        shared = client()
        task.hook = SimpleNamespace(get_conn=lambda: shared)
    instance = SimpleNamespace(
        dag_id="dag", run_id=run, task_id="convert", map_index=-1, try_number=try_number, xcom_push=lambda **_: None
    )
    signal.signal(signal.SIGTERM, lambda *_: task.on_kill())  # as Airflow's task runner does
    return task.execute({"ti": instance})


def operator_in_a_task(try_number, store, reschedules=0, **options):
    """The operator in Airflow's own task runner, with our retry policy where Airflow can reschedule.

    :param store: file of the task's state store.
    :param reschedules: how often this try was rescheduled.
    :return: the state of the task, and its error.
    """
    from tests.support.airflow_harness import Ledger, run_task

    if AIRFLOW >= (3, 4):
        from airflow_provider_leadconv.retry_policy import LeadConversionRetryPolicy

        options["retry_policy"] = LeadConversionRetryPolicy()
    ledger = Ledger()
    ledger.store = FileStore(Path(store))
    task = LeadConversionBulkOperator(task_id="convert", retries=1, **options)
    shared = client()
    task.hook = SimpleNamespace(get_conn=lambda: shared)
    server = {"task_reschedule_count": reschedules}
    run = run_task(task, try_number=try_number, ledger=ledger, server=server)
    return [run.state, str(run.error)]


class FileStore(dict):
    """A task state store that outlives its process, as that of Airflow's server."""

    def __init__(self, path):
        super().__init__(json.loads(path.read_text()) if path.exists() else {})
        self._path = path

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        self._path.write_text(json.dumps(self))


class HookOperator(BaseOperator):
    """What a ``@task`` function does that calls the hook."""

    def __init__(self, *, leads, concurrency, **kwargs):
        super().__init__(**kwargs)
        self.leads = leads
        self.concurrency = concurrency

    def execute(self, context):
        hook = LeadConversionHook()
        shared = client()
        hook.get_conn = lambda: shared
        return {
            result.lead_id: str(result.status)
            for result in hook.convert_leads(self.leads, concurrency=self.concurrency)
        }


def hook_in_a_task(try_number, store, **options):
    """A task that calls the hook, in Airflow's own task runner.

    :param store: file of the task's state store.
    """
    from tests.support.airflow_harness import Ledger, run_task

    ledger = Ledger()
    ledger.store = FileStore(Path(store))
    run = run_task(HookOperator(task_id="convert", **options), try_number=try_number, ledger=ledger)
    if run.error:
        raise run.error
    return run.value


def bulk_with_a_fork(leads, concurrency, forks_after):
    """A bulk whose process is forked when it has so many results: the child tries to go on, too."""
    results, child = {}, 0
    shared = client()
    hook = LeadConversionHook()
    hook.get_conn = lambda: shared
    conversions = hook.convert_leads(leads, concurrency=concurrency)
    for result in conversions:
        results[result.lead_id] = str(result.status)
        if len(results) == forks_after:
            child = os.fork()
            if child == 0:
                try:
                    list(conversions)
                except RuntimeError:
                    os._exit(3)
                os._exit(0)
    return {"statuses": results, "child": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def forked_bulks(leads, concurrency):
    """Bulks in forked processes, with the client that their parent has used."""
    shared = client()
    shared.get_page(ListQuery())
    children = []
    for part in (leads[::2], leads[1::2]):
        children.append(os.fork())
        if children[-1] == 0:
            hook = LeadConversionHook()
            hook.get_conn = lambda: shared
            results = list(hook.convert_leads(part, concurrency=concurrency))
            os._exit(any(result.status != "converted" for result in results))
    return [os.waitpid(child, 0)[1] for child in children]


KINDS = {kind.__name__: kind for kind in (operator, operator_in_a_task, hook_in_a_task, bulk_with_a_fork, forked_bulks)}


def process(response, kind, **options):
    """Never returns.

    :param response: file for what it returned, or for its error.
    """
    try:
        text = json.dumps(KINDS[kind](**options))
    except BaseException:  # noqa: BLE001
        text = traceback.format_exc()
    Path(response).write_text(text)
    os._exit(0)


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        options = json.loads(line)
        if isinstance(options, int):
            print(os.waitpid(options, 0)[1], flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            process(**options)
        print(pid, flush=True)
