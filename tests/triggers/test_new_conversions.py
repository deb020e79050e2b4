"""New conversions as the event trigger emits them, in simulated time."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_leadconv.api.http import Response, TransportFailure
from airflow_provider_leadconv.triggers.asset_events import LeadConversionEventTrigger
from tests.support.responses import AFTER, NOT_SENT
from tests.support.trigger_simulation import SimulatedApi
from tests.support.triggers import collect, lead_ids_of, status


def test_a_burst_is_emitted_in_batches_one_a_poll(api: SimulatedApi) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(), 60 * 9))
        await asyncio.sleep(30)
        api.convert(*range(1, 1001))
        await asyncio.sleep(60)
        api.convert(2000)
        events = await listening
        assert [event["count"] for event in events] == [300, 300, 300, 100, 1]
        assert lead_ids_of(events) == [*range(1, 1001), 2000]

    api.run(main())


def test_a_very_large_burst_is_read_in_several_readings(api: SimulatedApi) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=5.0), 60 * 10))
        await asyncio.sleep(30)
        api.convert(*range(1, 7001))
        assert lead_ids_of(await listening) == list(range(1, 7001))

    api.run(main())


def test_ids_that_become_visible_late_are_emitted_once(api: SimulatedApi) -> None:
    async def main() -> None:
        api.convert(*range(100, 600))
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=5.0), 120))
        await asyncio.sleep(12)
        api.convert(1, visible_after=30)
        api.convert(*range(2, 52))
        assert sorted(lead_ids_of(await listening)) == list(range(1, 52))

    api.run(main())


def test_an_empty_changefeed_is_emitted_from_its_first_row(api: SimulatedApi) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(), 120))
        await asyncio.sleep(30)
        api.convert(1)
        assert lead_ids_of(await listening) == [1]

    api.run(main())


@pytest.mark.parametrize("code", [401, 403, 503])
def test_polling_backs_off_and_continues_after_errors(api: SimulatedApi, code: int) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=5.0), 1000))
        await asyncio.sleep(30)
        api.on_request = lambda sent: Response(status_code=code, headers={}, body=b"")
        await asyncio.sleep(600)
        api.on_request = lambda sent: None
        api.convert(1)
        assert lead_ids_of(await listening) == [1]

    api.run(main())
    assert len(api.queries_between(30, 630)) <= 14


GONE = {code: status(code) for code in (301, 401, 403, 404, 410)}
OUT_OF_REACH = {"503": status(503), "200": status(200), "not reachable": NOT_SENT}


@pytest.mark.parametrize("reply", [*GONE.values(), *OUT_OF_REACH.values()], ids=[*map(str, GONE), *OUT_OF_REACH])
def test_polling_ends_after_the_retirement(
    api: SimulatedApi, reply: Response | TransportFailure, caplog: pytest.LogCaptureFixture
) -> None:
    """At once if the API refuses, after an hour if it is out of reach; and it is polled no more in two days."""

    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=60.0), 2 * 86400))
        await asyncio.sleep(100)
        api.date, api.on_request = AFTER, lambda sent: reply
        assert await listening == []

    api.run(main())
    sent = len(api.queries_between(100, 3 * 86400))
    assert sent == 1 if reply in GONE.values() else sent <= 70
    assert len(api.queries_between(100, 3000)) > 0
    assert api.queries_between(100 + 3600 + 120, 3 * 86400) == []
    (end,) = [message for message in caplog.messages if message.startswith("Stopped watching")]
    assert "2027-08-31" in end


def test_an_outage_of_three_days_before_the_retirement_is_survived(api: SimulatedApi) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=60.0), 4 * 86400))
        await asyncio.sleep(100)
        api.on_request = lambda sent: NOT_SENT
        await asyncio.sleep(3 * 86400)
        api.on_request = lambda sent: None
        api.convert(1)
        assert lead_ids_of(await listening) == [1]

    api.run(main())
