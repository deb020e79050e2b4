"""The note of a DAG run, which Airflow shows in its list of runs and on the page of the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)


def write_dag_run_note(context: Mapping[str, Any], text: str) -> None:
    """Replace the note of the DAG run. Failing to do so is logged and never fails the task.

    :param context: of the task.
    :param text: the note.
    """
    update = getattr(context.get("ti"), "update_dagrun_note", None)
    if update is None:
        log.info("Skipped the note of the DAG run: it needs a task of Airflow 3.4 or later")
        return
    try:
        update(text)
    except Exception as error:  # noqa: BLE001  # whatever it is: the leads are converted, or an error is under way
        log.warning("Skipped the note of the DAG run: Airflow did not take it: %s", error)
