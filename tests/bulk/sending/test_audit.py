"""The audit at the end of a run, on the simulated clock."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.http import Response
from airflow_provider_leadconv.sandbox import Fault
from tests.support.bulk_simulation import Server, World, convert


@pytest.fixture
def world():
    return World()


def test_the_duplicate_check_waits_for_leads_that_were_sent_again(world):
    # Visible after 18 s breaks the promise of 15 s: the duplicate cannot be prevented, and is reported.
    faults = [Fault(name="drop_after", times=1), Fault(name="late_visible", times=1, seconds=18.0)]
    server = Server(world, leads=1, faults=faults)
    result = convert(server, server.store.leads, settle_time=5.0)
    assert list(server.counts().values()).count(2) == result.run.summary.duplicates == 1


def test_an_audit_that_fails_is_skipped_with_a_warning(world, caplog):
    server = Server(world, leads=1)
    (lead,) = server.store.leads
    refusal = Response(status_code=403, headers={}, body=b'{"errors":[{"error":{"code":"forbidden"}}]}')
    server.on_request = lambda request: refusal if server.store.conversion_counts.get(lead) else None
    assert convert(server, [lead]).statuses == {lead: "converted"}
    assert "Skipped the duplicate check: could not read conversions" in caplog.text
