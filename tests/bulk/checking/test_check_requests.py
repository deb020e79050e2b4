"""The requests of the pre-check that fail, on the simulated clock."""

from __future__ import annotations

import re

import pytest

from airflow_provider_leadconv.api.exceptions import LeadConversionError, UnavailableError
from airflow_provider_leadconv.api.http import Response
from airflow_provider_leadconv.sandbox import Fault
from tests.support.bulk_simulation import Disk, Server, World, convert, job_of, methods


@pytest.fixture
def world():
    return World()


def test_a_precheck_that_fails_after_conversions_were_sent_ends_the_run_in_order(world):
    server, disk = Server(world, leads=100, conversions=40_000, latency=(0.2, 0.25)), Disk()
    world.at(8.0, lambda: setattr(server.service.injector, "faults", [Fault(name="html_200", method="GET")]))
    result = convert(server, server.store.leads, disk)
    counts = server.counts()
    assert isinstance(result.run.stopped_by, LeadConversionError)
    assert {lead: "converted" if counts.get(lead) else "not_attempted" for lead in result.statuses} == result.statuses
    assert 5 <= result.run.summary.converted <= 95
    # The next try goes on from there.
    server.service.injector.faults = []
    assert set(convert(server, server.store.leads, disk).statuses.values()) == {"converted"}
    assert max(server.counts().values()) == 1


def test_an_unavailable_api_fails_the_precheck(world):
    server = Server(world, leads=5, faults=[Fault(name="error_503")])
    disk = Disk()
    with pytest.raises(UnavailableError):
        convert(server, server.store.leads, disk)
    assert disk.files["results.jsonl"].count(b'"not_attempted"') == 5
    assert "POST" not in methods(server)


def test_a_probe_that_fails_decides_nothing(world):
    server = Server(world, leads=40, conversions=4000, latency=(0.05, 0.05))
    probes = []

    def refuse_probe(request):
        if not re.search(r"\bpage=", request.query):
            return None
        probes.append(request)
        return Response(status_code=403, headers={}, body=b'{"errors":[{"error":{"code":"forbidden"}}]}')

    server.on_request = refuse_probe
    assert list(job_of(server).precheck()) == []
    assert len(probes) == 1
