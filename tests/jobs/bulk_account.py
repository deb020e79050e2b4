"""A batch against the sandbox over real sockets."""

from __future__ import annotations

import json
from contextlib import contextmanager

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.jobs.bulk_run import BulkRun
from airflow_provider_leadconv.jobs.journal import journal_of
from airflow_provider_leadconv.jobs.leads import read_leads
from airflow_provider_leadconv.jobs.results import Results
from airflow_provider_leadconv.jobs.storage import folder_of

QUICK = {"timeout": 1.0, "settle_time": 0.5, "requests_per_second": 1000.0, "retry_timeout": 60.0}


def client_of(sandbox, **config):
    """A client that begins at its full rate, instead of finding out what it is allowed."""
    config = ClientConfig(**{"token": sandbox.token, "base_url": sandbox.base_url, **QUICK, **config})
    client = LeadConversionsClient(config)
    client._exchange._pacer._rate = config.requests_per_second
    return client


@contextmanager
def bulk_run(sandbox, leads, path=None, *, run="run", config=None, **options):
    """A :class:`BulkRun` as the operator makes it.

    :param path: the results file, as a path of ``universal_pathlib`` or :mod:`pathlib`.
    """
    batch = read_leads(leads)
    results = None
    if path is not None:
        results = Results(folder_of(_Local(path.parent)), path.name, journal_of(_Local(path)), run=run, leads=batch)
    with client_of(sandbox, **(config or {})) as client:
        yield BulkRun(client, batch, results, **options)


class _Local:
    protocol = "file"
    fs = None

    def __init__(self, path):
        self.path = str(path)


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def posts(sandbox):
    return [request for request in sandbox.requests if request.method == "POST"]
