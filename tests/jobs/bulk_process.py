"""Runs the operator in processes that can be killed: each line of stdin, a JSON object of options, is one process.

They are forked from this one, which has no threads, so that Airflow is imported once. Their id, and then how they
ended, is a line of stdout each.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook
from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator


def main(run, try_number, full_rate=True, **options):
    task = LeadConversionBulkOperator(task_id="convert", **options)
    client = LeadConversionHook().get_conn()
    if full_rate:
        client._exchange._pacer._rate = client.config.requests_per_second
    task.hook = SimpleNamespace(get_conn=lambda: client)
    instance = SimpleNamespace(
        dag_id="dag", run_id=run, task_id="convert", map_index=-1, try_number=try_number, xcom_push=lambda **_: None
    )
    return task.execute({"ti": instance})


def process(answer, **options):
    """Never returns.

    :param answer: file for what the operator returned, or for its error.
    """
    try:
        text = json.dumps(main(**options))
    except BaseException:  # noqa: BLE001
        text = traceback.format_exc()
    Path(answer).write_text(text)
    os._exit(0)


if __name__ == "__main__":
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            process(**json.loads(line))
        print(pid, flush=True)
        print(os.waitpid(pid, 0)[1], flush=True)
