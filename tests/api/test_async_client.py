"""The async client against the sandbox, held to what the sync client does there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_leadconv.api.async_client import AsyncLeadConversionsClient
from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import (
    AuthenticationError,
    InvalidResponseError,
    LeadConversionError,
    UnavailableError,
)
from airflow_provider_leadconv.api.http import Request
from airflow_provider_leadconv.api.queries import ListQuery
from airflow_provider_leadconv.api.transports.httpx2_transport import Httpx2Transport
from airflow_provider_leadconv.sandbox import Sandbox
from tests.support.endpoint import AsyncTransport, Endpoint
from tests.support.responses import TOKEN, UNFORESEEN


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(leads=5, conversions=450, link_base="https://api.getbase.com") as sandbox:
        yield sandbox


def config(sandbox: Sandbox, **settings: object) -> ClientConfig:
    return ClientConfig(
        **{  # type: ignore[arg-type]
            "token": sandbox.token,
            "base_url": sandbox.base_url,
            "timeout": 1.0,
            "retry_timeout": 1.0,
            **settings,
        }
    )


def test_lists_all_by_cursor_on_one_connection(sandbox: Sandbox) -> None:
    async def list_all() -> list[int]:
        async with AsyncLeadConversionsClient(config(sandbox)) as client:
            return [row.id async for page in client.list_pages(ListQuery()) for row in page]

    assert asyncio.run(list_all()) == [conversion["id"] for conversion in sandbox.conversions]
    assert len({request.client for request in sandbox.requests}) == 1
    assert len(sandbox.requests) == 3


def test_both_clients_send_the_same(sandbox: Sandbox) -> None:
    odd = [ListQuery(cursor="eyJ%0A+/=-._~:!$'()*,;@?"), ListQuery(page=2, per_page=7, lead_id=5, creator_id=9)]

    async def ask() -> None:
        async with AsyncLeadConversionsClient(config(sandbox)) as client:
            for query in odd:
                with contextlib.suppress(LeadConversionError):
                    await client.get_page(query)

    asyncio.run(ask())
    with LeadConversionsClient(config(sandbox)) as client:
        for query in odd:
            with contextlib.suppress(LeadConversionError):
                client.get_page(query)
    sent = [(request.path, request.query_string, request.headers) for request in sandbox.requests]
    assert sent[:2] == sent[2:]


def test_a_path_prefix_comes_first() -> None:
    async def ask(sandbox: Sandbox) -> None:
        async with AsyncLeadConversionsClient(config(sandbox)) as client:
            await client.get_page(ListQuery())

    with Sandbox(path_prefix="/sell", conversions=1) as sandbox:
        asyncio.run(ask(sandbox))
        assert sandbox.requests[0].path == "/sell/v2/lead_conversions"
        assert sandbox.requests[0].status == 200


def test_finds_the_conversion_of_a_lead(sandbox: Sandbox) -> None:
    async def find(lead_id: int) -> int | None:
        async with AsyncLeadConversionsClient(config(sandbox)) as client:
            found = await client.find(ListQuery(per_page=1, lead_id=lead_id))
            return found.id if found else None

    conversion = sandbox.conversions[300]
    assert asyncio.run(find(conversion["lead_id"])) == conversion["id"]
    assert asyncio.run(find(sandbox.leads[0])) is None


def result(ask: Callable[[], object]) -> tuple[type[LeadConversionError], str] | object:
    try:
        return ask()
    except LeadConversionError as error:
        return type(error), error.message.partition("; body")[0].partition(": ")[0]


@pytest.mark.parametrize(
    "fault",
    [
        "throttle_429",
        "throttle_429_empty",
        "throttle_404",
        "throttle_409",
        "error_500",
        "error_500_bare",
        "error_200_bare",
        "error_500_empty",
        "error_502_html",
        "html_200",
        "no_meta_error",
        "redirect",
        "drop_before",
        "stall,seconds=5",
        "truncated_body",
        "cut_json",
        "trickle_body,seconds=5",
        "trickle_headers,seconds=5",
        "huge_body",
        "null_items",
        "missing_items",
        "count_too_high_empty",
        "count_too_low",
        "ignored_filter",
    ],
)
def test_both_clients_make_the_same_of_every_fault(sandbox: Sandbox, fault: str) -> None:
    sandbox.faults = [fault]
    query = ListQuery(lead_id=sandbox.conversions[0]["lead_id"])
    limit = 0.4 if "seconds=" in fault else 30.0  # only what is slow on purpose may take too long
    settings = config(sandbox, timeout=limit, retry_timeout=limit)

    async def ask() -> object:
        async with AsyncLeadConversionsClient(settings) as client:
            return await client.get_page(query)

    def ask_sync() -> object:
        with LeadConversionsClient(settings) as client:
            return client.get_page(query)

    came_of_it = result(lambda: asyncio.run(ask()))
    assert isinstance(came_of_it, tuple)
    assert came_of_it == result(ask_sync)


def test_tries_again_while_there_is_time(sandbox: Sandbox) -> None:
    sandbox.faults = ["error_503,times=2"]

    async def ask() -> int:
        async with AsyncLeadConversionsClient(config(sandbox, retry_timeout=30.0)) as client:
            await client.get_page(ListQuery())
            return client.counters.requests

    assert asyncio.run(ask()) == 3


def test_a_refused_token_is_read_once_more(sandbox: Sandbox) -> None:
    async def ask(renewed: str) -> None:
        async def renew() -> str:
            return renewed

        async with AsyncLeadConversionsClient(config(sandbox, token="expired"), renew_token=renew) as client:
            await client.get_page(ListQuery())

    asyncio.run(ask(sandbox.token))
    assert [request.status for request in sandbox.requests] == [401, 200]
    with pytest.raises(AuthenticationError):
        asyncio.run(ask("expired too"))


def test_an_unforeseen_exception_of_a_read_is_an_invalid_response() -> None:
    endpoint = Endpoint(on_request=lambda sent: UNFORESEEN)

    async def ask() -> None:
        settings = ClientConfig(token=TOKEN, timeout=1.0)
        async with AsyncLeadConversionsClient(settings, transport=AsyncTransport(endpoint)) as client:
            await client.get_page(ListQuery())

    with pytest.raises(InvalidResponseError, match="an unexpected ArithmeticError") as caught:
        asyncio.run(ask())
    assert caught.value.__cause__ is UNFORESEEN
    assert len(endpoint.requests) == 3


def test_only_reads_are_sent(sandbox: Sandbox) -> None:
    transport = Httpx2Transport(config(sandbox), "test")
    with pytest.raises(ValueError, match="only reads"):
        asyncio.run(transport(Request(method="POST"), sandbox.token))
    assert sandbox.requests == []


def test_a_broken_listing_is_no_short_listing(sandbox: Sandbox) -> None:
    sandbox.faults = ["rising_ids"]

    async def list_all() -> None:
        async with AsyncLeadConversionsClient(config(sandbox)) as client:
            async for _ in client.list_pages(ListQuery()):
                pass

    with pytest.raises(InvalidResponseError):
        asyncio.run(list_all())


def test_the_token_is_in_no_log_and_no_error(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    sandbox.faults = ["error_500"]

    async def ask() -> None:
        async with AsyncLeadConversionsClient(config(sandbox)) as client:
            await client.get_page(ListQuery())

    with caplog.at_level(logging.DEBUG), pytest.raises(UnavailableError) as caught:
        asyncio.run(ask(), debug=True)
    assert sandbox.token not in caplog.text
    assert sandbox.token not in f"{caught.value!r} {caught.value}"
