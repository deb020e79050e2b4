"""An Airflow connection -> a client of the API, for workers and for the triggerer."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

from airflow_provider_leadconv.api.exceptions import UnavailableError
from airflow_provider_leadconv.api.http import USER_AGENT
from airflow_provider_leadconv.hooks.connection import config_from_connection, no_connection
from airflow_provider_leadconv.metrics import request_counters

try:
    from airflow.sdk.exceptions import AirflowRuntimeError
except ImportError:  # Airflow 2
    AirflowRuntimeError = AirflowException  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
    from airflow_provider_leadconv.api.client import LeadConversionsClient
    from airflow_provider_leadconv.api.config import ClientConfig, Secret

_USER_AGENT = f"{USER_AGENT} Airflow/{airflow_version} Python/{platform.python_version()}"


def new_client(config: ClientConfig, renew_token: Callable[[], Secret | str]) -> LeadConversionsClient:
    """Return a client for a worker."""
    from airflow_provider_leadconv.api.client import LeadConversionsClient

    return LeadConversionsClient(config, renew_token=renew_token, user_agent=_USER_AGENT, counters=request_counters())


async def open_async_client(conn_id: str) -> AsyncLeadConversionsClient:
    """Make a client for the triggerer, without blocking its event loop.

    It makes one attempt a request: when to try again is up to its user.

    :param conn_id: id of an Airflow connection of type ``leadconv``.
    :raises ConnectionConfigError: if there is none, or naming the field that is wrong.
    :raises UnavailableError: if Airflow cannot read the connection.
    """

    async def renew_token() -> Secret | str:
        return (await _read_config(conn_id)).token

    config = await _read_config(conn_id)
    return await asyncio.to_thread(_new_async_client, config.with_retry_timeout(0.0), renew_token)


async def _read_config(conn_id: str) -> ClientConfig:
    try:
        return config_from_connection(await get_async_connection(conn_id))
    except AirflowNotFoundException as error:
        raise no_connection(conn_id) from error
    except (AirflowException, AirflowRuntimeError) as error:
        raise UnavailableError(
            f"Airflow could not read connection {conn_id!r}: {error}",
            remedy="Check Airflow's API server and secrets backend, then run the task again.",
        ) from error


def _new_async_client(
    config: ClientConfig, renew_token: Callable[[], Awaitable[Secret | str]]
) -> AsyncLeadConversionsClient:
    """Not on the event loop, as the first import of the HTTP libraries takes time."""
    from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient

    return AsyncLeadConversionsClient(
        config, renew_token=renew_token, user_agent=_USER_AGENT, counters=request_counters()
    )
