"""The head of the changefeed, as a bulk run reads it while leads are sent."""

from __future__ import annotations

from datetime import timedelta

import pytest

from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import UnavailableError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.bulk.changefeed_head import new_reader, read_head
from airflow_provider_leadconv.changefeed import OverlapWindow
from tests.support.clock import Clock
from tests.support.endpoint import EPOCH, conversion
from tests.support.exports import endpoint_of, failing_after


def test_a_reading_returns_new_and_late_rows_and_when_it_began():
    endpoint = endpoint_of(1000, clock=Clock(1000.0))
    late = endpoint.rows.pop(950)
    client = endpoint.client()
    first = read_head(client, OverlapWindow())
    assert ([row.id for row in first.rows], first.read_at) == (endpoint.ids[::-1], 1000.0)
    endpoint.add(late, conversion(1001))
    endpoint.clock.sleep(30)
    endpoint.latency = 2.0
    endpoint.requests.clear()
    second = read_head(client, first.window)
    assert ([row.id for row in second.rows], second.read_at) == ([1001, 950], pytest.approx(1030.0, abs=0.01))
    assert len(endpoint.requests) == 2
    assert read_head(client, second.window).rows == []


def test_a_reading_that_fails_half_way_is_an_error():
    client = endpoint_of(1000, on_request=failing_after(3)).client()
    with pytest.raises(UnavailableError):
        read_head(client, OverlapWindow())


def test_the_window_covers_the_time_that_a_conversion_may_take_to_become_visible():
    config = ClientConfig(token="t", timeout=100.0, settle_time=140.0)
    reader = new_reader(config, OverlapWindow())
    seconds = [f"{EPOCH + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}" for number in range(2000)]
    reader.take([LeadConversion(id=n, lead_id=n, created_at_raw=seconds[n]) for n in range(1999, 0, -1)])
    assert len(reader.window().ids) == 100 + 140 + 60 + 1
