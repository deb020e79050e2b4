"""An Airflow connection -> an async client, without blocking the triggerer's event loop."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from airflow import __version__ as airflow_version
from airflow.providers.common.compat.connection import get_async_connection
from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

from airflow_provider_leadconv.api.errors import ConnectionConfigError, UnavailableError
from airflow_provider_leadconv.api.messages import USER_AGENT
from airflow_provider_leadconv.hooks.connection import config_from_connection
from airflow_provider_leadconv.metrics import request_counters

try:
    from airflow.sdk.exceptions import AirflowRuntimeError
except ImportError:  # Airflow 2
    AirflowRuntimeError = AirflowException  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
    from airflow_provider_leadconv.api.config import ClientConfig


async def open_client(conn_id: str) -> AsyncLeadConversionsClient:
    """Make a client that makes one attempt a request: when to try again is up to its user.

    :param conn_id: id of an Airflow connection of type ``leadconv``.
    :raises ConnectionConfigError: if there is none, or naming the field that is wrong.
    :raises UnavailableError: if Airflow cannot say.
    """

    async def renew_token() -> str:
        return (await _read_config(conn_id)).token

    config = await _read_config(conn_id)
    return await asyncio.to_thread(_new_client, config.hurried(0.0), renew_token)


async def _read_config(conn_id: str) -> ClientConfig:
    try:
        return config_from_connection(await get_async_connection(conn_id))
    except AirflowNotFoundException as error:
        raise ConnectionConfigError(f"there is no connection {conn_id!r}") from error
    except (AirflowException, AirflowRuntimeError) as error:
        raise UnavailableError(f"Airflow cannot read connection {conn_id!r}: {error}") from error


def _new_client(config: ClientConfig, renew_token: Callable[[], Awaitable[str]]) -> AsyncLeadConversionsClient:
    """Not on the event loop, as the first import of the HTTP libraries takes time."""
    from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient

    user_agent = f"{USER_AGENT} Airflow/{airflow_version} Python/{platform.python_version()}"
    return AsyncLeadConversionsClient(
        config, renew_token=renew_token, user_agent=user_agent, counters=request_counters()
    )
