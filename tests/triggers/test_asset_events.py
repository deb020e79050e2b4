"""The event trigger in simulated time, alone, as Airflow 3.0 to 3.2 run it."""

from __future__ import annotations

import asyncio
import json

import pytest

from airflow_provider_leadconv.triggers.asset_events import LeadConversionEventTrigger
from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger
from tests.support.capabilities import AIRFLOW, needs_queue
from tests.support.trigger_simulation import SimulatedApi
from tests.support.triggers import collect, event_trigger, lead_ids_of


def test_serialization_restores_the_trigger() -> None:
    path, arguments = event_trigger(creator_id=7, poll_interval=30.0).serialize()
    assert path == "airflow_provider_leadconv.triggers.asset_events.LeadConversionEventTrigger"
    again = LeadConversionEventTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)


def test_each_asset_and_filter_has_a_stream_of_its_own() -> None:
    keys = [
        event_trigger().shared_stream_key(),
        event_trigger(asset_name="other").shared_stream_key(),
        event_trigger(creator_id=1).shared_stream_key(),
        event_trigger(leadconv_conn_id="other").shared_stream_key(),
    ]
    assert len(set(keys)) == 4
    assert event_trigger().shared_stream_key() == keys[0]
    assert LeadConversionEventTrigger().shared_stream_key() is None


@needs_queue
def test_airflow_registers_the_queue_beside_the_arguments() -> None:
    from airflow.serialization.encoders import encode_trigger

    _, arguments = event_trigger().serialize()
    in_queue, anywhere = encode_trigger(event_trigger(queue="sell")), encode_trigger(event_trigger())
    assert in_queue == {**anywhere, "queue": "sell"}
    assert event_trigger(queue="sell").serialize()[1] == arguments


@pytest.mark.skipif(AIRFLOW >= (3, 4), reason="queues of event triggers: Airflow 3.4 or later")
def test_an_older_airflow_rejects_a_queue() -> None:
    with pytest.raises(ValueError, match=r"queue='sell' needs Airflow 3\.4"):
        event_trigger(queue="sell")
    assert event_trigger(queue=None).serialize() == event_trigger().serialize()


def test_new_conversions_are_one_event_a_poll_oldest_first(api: SimulatedApi) -> None:
    async def main() -> None:
        api.convert(1, 2)
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(), 200))
        await asyncio.sleep(30)
        api.convert(3, 4)
        await asyncio.sleep(60)
        api.convert(5)
        events = await listening
        assert [lead_ids_of([event]) for event in events] == [[3, 4], [5]]
        ids = [conversion["id"] for conversion in events[0]["conversions"]]
        assert ids == sorted(ids)
        assert events[0] == {"min_id": ids[0], "max_id": ids[-1], "count": 2, "conversions": events[0]["conversions"]}

    api.run(main())
    assert len(api.requests) <= 5


def test_creator_id_filters_conversions(api: SimulatedApi) -> None:
    async def main() -> None:
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(creator_id=7), 120))
        await asyncio.sleep(30)
        api.convert(1, 2, 3)
        api.rows[api.ids[-2]]["creator_id"] = 7
        assert lead_ids_of(await listening) == [2]

    api.run(main())


def test_the_poll_is_shared_with_sensors(api: SimulatedApi) -> None:
    async def main() -> None:
        waiting = LeadConversionTrigger(
            lead_ids=[1],
            leadconv_conn_id="leadconv_default",
            start_watermark=0,
            poll_interval=5.0,
            deadline=2e9,
            max_consecutive_failures=None,
        )
        task = asyncio.ensure_future(anext(waiting.run()))
        listening = asyncio.ensure_future(collect(LeadConversionEventTrigger(poll_interval=60.0), 300))
        await asyncio.sleep(100)
        api.convert(2)
        assert lead_ids_of(await listening) == [2]
        task.cancel()

    api.run(main())
    assert api.opened == 1
    for second in range(2, 300, 5):
        assert len([query for query in api.queries_between(second, second + 5) if "lead_id" not in query]) == 1
