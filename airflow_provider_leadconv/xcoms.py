"""The XComs of a task that returns a summary."""

from __future__ import annotations

from typing import Any

from airflow import __version__ as airflow_version


def as_outputs(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what a task with ``multiple_outputs`` returns: Airflow pushes each value as an XCom of its own.

    Airflow 3.0 rejects an XCom that is ``None`` with a 422, and the task would fail after its work. There, such
    values are left out, and pulling them still gives ``None``.
    """
    if airflow_version.startswith("3.0."):
        return {key: value for key, value in summary.items() if value is not None}
    return summary
