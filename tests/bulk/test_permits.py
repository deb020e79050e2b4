from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.bulk.permits import Permits
from tests.support.clock import Clock
from tests.support.endpoint import Endpoint
from tests.support.responses import TOKEN


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def client(clock):
    config = ClientConfig(token=TOKEN, base_url="http://127.0.0.1", requests_per_second=10.0)
    limiter = AdaptiveRateLimiter(10.0, start_rate=10.0, clock=clock)
    return LeadConversionsClient(
        config, transport=Endpoint(clock=clock), limiter=limiter, clock=clock, sleep=clock.sleep
    )


def test_permits_are_an_interval_apart(client, clock):
    permits = Permits(client)
    assert permits.take()
    assert not permits.take()
    assert permits.due_in == pytest.approx(0.1)
    clock.now += 0.05
    assert not permits.take()
    clock.now += 0.05
    assert permits.take()


def test_the_next_request_uses_a_permit_that_was_taken(client, clock):
    assert Permits(client).take()
    client.get_page(ListQuery())
    assert clock.now == 0.0
    client.get_page(ListQuery())
    assert clock.now == pytest.approx(0.1)


def test_a_permit_expires_while_the_process_is_suspended(client, clock):
    assert Permits(client).take()
    clock.now += 60.0
    client.get_page(ListQuery())
    client.get_page(ListQuery())
    assert clock.now >= 60.05
