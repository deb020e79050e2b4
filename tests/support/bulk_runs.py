"""A batch against the sandbox over real sockets."""

from __future__ import annotations

import json
from contextlib import contextmanager

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.bulk.engine import BulkConversion
from airflow_provider_leadconv.bulk.inputs import read_leads
from airflow_provider_leadconv.bulk.outputs.journal import journal_of
from airflow_provider_leadconv.bulk.outputs.results import Results
from airflow_provider_leadconv.bulk.run import BulkRun
from airflow_provider_leadconv.storage.locations import folder_of

QUICK = {"timeout": 1.0, "settle_time": 0.5, "requests_per_second": 1000.0, "retry_timeout": 60.0}


def client_of(sandbox, **config):
    """A client that starts at its full rate, as the sandbox has no rate limit to find out."""
    config = ClientConfig(**{"token": sandbox.token, "base_url": sandbox.base_url, **QUICK, **config})
    return LeadConversionsClient(config, limiter=full_rate(config))


def full_rate(config):
    return AdaptiveRateLimiter(config.requests_per_second, start_rate=config.requests_per_second)


@contextmanager
def bulk_conversion(sandbox, leads, *, config=None, **options):
    """A :class:`BulkConversion`, for tests that act between pre-check and conversion."""
    with client_of(sandbox, **(config or {})) as client:
        job = BulkConversion(client, read_leads(leads), **options)
        yield job
        job.close()


class ObservedResults(Results):
    """Results of which a test is notified.

    :param on_result: called after each result.
    """

    def __init__(self, *args, on_result, **options):
        super().__init__(*args, **options)
        self._on_result = on_result

    def add(self, result, *args):
        super().add(result, *args)
        self._on_result(result)


@contextmanager
def bulk_run(sandbox, leads, path=None, *, run="run", on_result=lambda result: None, config=None, **options):
    """A :class:`BulkRun` as the operator makes it.

    :param path: the results file, as a path of ``universal_pathlib`` or :mod:`pathlib`.
    :param on_result: called after each result; needs ``path``.
    """
    batch = read_leads(leads)
    results = None
    if path is not None:
        places = folder_of(_Local(path.parent)), path.name, journal_of(_Local(path))
        results = ObservedResults(*places, run=run, leads=batch, on_result=on_result)
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
