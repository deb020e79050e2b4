"""The two real transports, driven alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow_provider_leadconv.api.config import ClientConfig, Secret
from airflow_provider_leadconv.api.http import Request, Response, TransportFailure
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.transports.httpx2_transport import Httpx2Transport
from airflow_provider_leadconv.api.transports.requests_transport import RequestsTransport
from tests.support.responses import TOKEN

GET = ListQuery(lead_id=4).request()

Send = Callable[..., Response | TransportFailure]


def send_sync(config: ClientConfig, request: Request = GET) -> Response | TransportFailure:
    with RequestsTransport(config, "test") as transport:
        return transport(request, Secret(TOKEN))


def send_async(config: ClientConfig, request: Request = GET) -> Response | TransportFailure:
    async def send() -> Response | TransportFailure:
        transport = Httpx2Transport(config, "test")
        try:
            return await transport(request, Secret(TOKEN))
        finally:
            await transport.aclose()

    return asyncio.run(send())


TRANSPORTS: dict[str, Send] = {"requests": send_sync, "httpx2": send_async}
