"""The event trigger in simulated time, alone, as Airflow 3.0 to 3.2 run it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from airflow_provider_leadconv.api.messages import Answer
from airflow_provider_leadconv.triggers.events import LeadConversionEventTrigger
from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger
from triggers.events import told, watching
from triggers.simulation import Api, run


async def collect(trigger: LeadConversionEventTrigger, seconds: float) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []

    async def listen() -> None:
        async for event in trigger.run():
            events.append(event.payload)  # noqa: PERF401  # what came is wanted when this is cancelled

    task = asyncio.ensure_future(listen())
    await asyncio.wait([task], timeout=seconds)
    assert not task.done(), "an event trigger never ends"
    task.cancel()
    await asyncio.wait([task])
    return events


def test_is_made_anew_from_what_it_serializes() -> None:
    path, arguments = watching(creator_id=7, poll_interval=30.0).serialize()
    assert path == "airflow_provider_leadconv.triggers.events.LeadConversionEventTrigger"
    again = LeadConversionEventTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_each_asset_and_filter_has_a_stream_of_its_own() -> None:
    keys = [
        watching().shared_stream_key(),
        watching(asset_name="other").shared_stream_key(),
        watching(creator_id=1).shared_stream_key(),
        watching(leadconv_conn_id="other").shared_stream_key(),
    ]
    assert len(set(keys)) == 4
    assert watching().shared_stream_key() == keys[0]
    assert LeadConversionEventTrigger().shared_stream_key() is None


def test_tells_what_is_new_oldest_first_in_one_event_a_poll(api: Api) -> None:
    async def main() -> None:
        api.convert(1, 2)
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(), 200))
        await asyncio.sleep(30)
        api.convert(3, 4)
        await asyncio.sleep(60)
        api.convert(5)
        events = await listening
        assert [told([event]) for event in events] == [[3, 4], [5]]
        ids = [conversion["id"] for conversion in events[0]["conversions"]]
        assert ids == sorted(ids)
        assert events[0] == {"min_id": ids[0], "max_id": ids[-1], "count": 2, "conversions": events[0]["conversions"]}

    run(main())
    assert len(api.requests) <= 5


def test_a_burst_goes_out_in_portions_one_a_poll(api: Api) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(), 60 * 9))
        await asyncio.sleep(30)
        api.convert(*range(1, 1001))
        await asyncio.sleep(60)
        api.convert(2000)
        events = await listening
        assert [event["count"] for event in events] == [300, 300, 300, 100, 1]
        assert told(events) == [*range(1, 1001), 2000]

    run(main())


def test_a_very_large_burst_is_read_in_pieces(api: Api) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=5.0), 60 * 10))
        await asyncio.sleep(30)
        api.convert(*range(1, 7001))
        assert told(await listening) == list(range(1, 7001))

    run(main())


def test_ids_that_become_visible_late_are_told_once(api: Api) -> None:
    async def main() -> None:
        api.convert(*range(100, 600))
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=5.0), 120))
        await asyncio.sleep(12)
        api.convert(1, hidden_for=30)
        api.convert(*range(2, 52))
        assert sorted(told(await listening)) == list(range(1, 52))

    run(main())


def test_a_log_that_was_empty_is_told_from_its_first_row(api: Api) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(), 120))
        await asyncio.sleep(30)
        api.convert(1)
        assert told(await listening) == [1]

    run(main())


def test_only_what_one_user_converted(api: Api) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(creator_id=7), 120))
        await asyncio.sleep(30)
        api.convert(1, 2, 3)
        api.rows[1]["creator_id"] = 7
        assert told(await listening) == [2]

    run(main())


@pytest.mark.parametrize("code", [401, 403, 503])
def test_it_backs_off_and_goes_on_whatever_fails(api: Api, code: int) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=5.0), 1000))
        await asyncio.sleep(30)
        api.fault = lambda: Answer(status=code, headers={}, body=b"")
        await asyncio.sleep(600)
        api.fault = lambda: None
        api.convert(1)
        assert told(await listening) == [1]

    run(main())
    assert len(api.requests_between(30, 630)) <= 14


def test_shares_its_poll_with_those_who_wait_for_leads(api: Api) -> None:
    async def main() -> None:
        waiting = LeadConversionTrigger(
            lead_ids=[1],
            leadconv_conn_id="leadconv_default",
            mark=0,
            poll_interval=5.0,
            deadline=2e9,
            max_consecutive_failures=None,
        )
        task = asyncio.ensure_future(anext(waiting.run()))
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=60.0), 300))
        await asyncio.sleep(100)
        api.convert(2)
        assert told(await listening) == [2]
        task.cancel()

    run(main())
    assert api.opened == 1
    for second in range(2, 300, 5):
        assert len([query for query in api.requests_between(second, second + 5) if "lead_id" not in query]) == 1
