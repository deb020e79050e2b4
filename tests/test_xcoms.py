"""The XComs of a task that returns a summary."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv import xcoms

SUMMARY = {"rows": 0, "path": "", "max_id": None}


@pytest.mark.parametrize("version", ["2.11.2", "3.1.0", "3.3.2", "3.4.0b2"])
def test_a_summary_is_kept_as_it_is(version, monkeypatch):
    monkeypatch.setattr(xcoms, "airflow_version", version)
    assert xcoms.as_outputs(SUMMARY) == SUMMARY


def test_values_that_airflow_3_0_rejects_are_left_out(monkeypatch):
    monkeypatch.setattr(xcoms, "airflow_version", "3.0.6")
    assert xcoms.as_outputs(SUMMARY) == {"rows": 0, "path": ""}
