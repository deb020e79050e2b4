"""Clients made of Airflow connections, for workers and for the triggerer."""

from __future__ import annotations

import asyncio
import json

import pytest

from airflow_provider_leadconv.api.exceptions import AuthenticationError, ConnectionConfigError, UnavailableError
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.hooks.clients import new_client, open_async_client
from airflow_provider_leadconv.hooks.leadconv import LeadConversionHook


def connect(monkeypatch, sandbox, **fields):
    monkeypatch.setenv("AIRFLOW_CONN_LEADCONV_DEFAULT", json.dumps({**sandbox.connection, **fields}))


async def read_page(conn_id="leadconv_default"):
    async with await open_async_client(conn_id) as client:
        return await client.get_page(ListQuery())


def test_both_clients_send_the_same_user_agent(sandbox):
    LeadConversionHook().get_page()
    asyncio.run(read_page())
    worker, triggerer = (request.headers["user-agent"] for request in sandbox.requests)
    assert worker == triggerer
    assert " Airflow/" in worker


def test_a_worker_reads_a_refused_token_again(sandbox):
    config = LeadConversionHook().get_conn().config
    sandbox.add_token("rotated-token")
    sandbox.revoke_token(sandbox.token)
    with new_client(config, renew_token=lambda: "rotated-token") as client:
        assert client.get_page(ListQuery()).conversions
    assert [request.status for request in sandbox.requests] == [401, 200]


def test_the_triggerer_reads_a_refused_token_again_from_the_connection(sandbox, monkeypatch):
    async def rotate_between_two_reads():
        async with await open_async_client("leadconv_default") as client:
            await client.get_page(ListQuery())
            sandbox.add_token("rotated-token")
            sandbox.revoke_token(sandbox.token)
            connect(monkeypatch, sandbox, password="rotated-token")
            return await client.get_page(ListQuery())

    assert asyncio.run(rotate_between_two_reads()).conversions
    assert [request.status for request in sandbox.requests] == [200, 401, 200]


def test_the_triggerer_makes_one_attempt_a_request(sandbox):
    sandbox.faults = ["error_503"]
    with pytest.raises(UnavailableError):
        asyncio.run(read_page())
    assert len(sandbox.requests) == 1


def test_a_missing_connection_is_a_configuration_error():
    with pytest.raises(ConnectionConfigError, match="the Airflow connection 'not_there' does not exist"):
        asyncio.run(read_page("not_there"))


def test_a_wrong_connection_names_its_field(sandbox, monkeypatch):
    connect(monkeypatch, sandbox, extra={"time_out": 3})
    with pytest.raises(ConnectionConfigError, match="unknown key 'time_out'"):
        asyncio.run(read_page())


def test_errors_of_worker_and_triggerer_name_the_connection(sandbox, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_EMEA", json.dumps({**sandbox.connection, "password": "wrong-token"}))
    for read in (LeadConversionHook("emea").get_page, lambda: asyncio.run(read_page("emea"))):
        with pytest.raises(AuthenticationError, match=r" \(connection 'emea', GET /v2/lead_conversions, request id "):
            read()


def test_the_test_of_a_connection_does_not_name_it(sandbox, monkeypatch):
    """In the web UI, it has a random id then."""
    connect(monkeypatch, sandbox, password="wrong-token")
    worked, message = LeadConversionHook().test_connection()
    assert not worked
    assert " (GET /v2/lead_conversions, request id " in message
