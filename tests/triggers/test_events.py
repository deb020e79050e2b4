"""The event trigger in simulated time: alone as Airflow 3.0 to 3.2 run it, and with its producer as 3.3 does."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import comms
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome

from airflow_provider_leadconv.api.messages import Answer
from airflow_provider_leadconv.triggers import event_producer
from airflow_provider_leadconv.triggers.events import LeadConversionEventTrigger
from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger
from triggers.simulation import Api, run

STORED = AdvanceOutcome(acked=1, failed=0)
LOST = AdvanceOutcome(acked=0, failed=1)


class Store:
    """The state store of assets, over crashes."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}
        self.broken = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        store = self

        class Accessor:
            def __init__(self, name: str) -> None:
                self._name = name

            async def aget(self, key: str) -> Any:
                store._check()
                return store.values.get((self._name, key))

            async def aset(self, key: str, value: Any) -> None:
                store._check()
                # The message of Airflow takes JSON only.
                message = comms.SetAssetStateStoreByName(name=self._name, key=key, value=value)
                store.values[self._name, key] = json.loads(message.model_dump_json())["value"]

        monkeypatch.setattr(event_producer, "AssetStateStoreAccessor", Accessor)

    def _check(self) -> None:
        if self.broken:
            raise AirflowRuntimeError(comms.ErrorResponse(error=ErrorType.API_SERVER_ERROR))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    store.install(monkeypatch)
    return store


class Triggerer:
    """One life of a triggerer that runs one event trigger in ack mode."""

    def __init__(self, trigger: LeadConversionEventTrigger) -> None:
        self.events: list[dict[str, Any]] = []
        arguments = json.loads(json.dumps(trigger.serialize()[1]))
        self._producer = type(trigger).create_shared_stream_producer(arguments)

    async def live(self, seconds: float, confirm_after: float = 1.0) -> None:
        task = asyncio.ensure_future(self._live(confirm_after))
        await asyncio.wait([task], timeout=seconds)
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait([task])

    async def _live(self, confirm_after: float) -> None:
        async for event, mark in self._producer.open_stream():
            self.events.append(event)
            await asyncio.sleep(confirm_after)
            await self._producer.advance([AdvanceItem(broker_payload=mark, outcome=STORED)])


def told(events: list[dict[str, Any]]) -> list[int]:
    return [conversion["lead_id"] for event in events for conversion in event["conversions"]]


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


def watching(**arguments: Any) -> LeadConversionEventTrigger:
    return LeadConversionEventTrigger(**{"asset_name": "sell", **arguments})


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


def test_the_mark_is_stored_at_the_start_and_with_each_event(api: Api, store: Store) -> None:
    async def main() -> None:
        api.convert(1, 2)
        life = Triggerer(watching())
        running = asyncio.ensure_future(life.live(100))
        await asyncio.sleep(5)
        assert store.values["sell", "leadconv_default/lead_conversions"]["mark"] == api.newest
        api.convert(3)
        await running
        assert told(life.events) == [3]
        assert store.values["sell", "leadconv_default/lead_conversions"]["mark"] == api.newest

    run(main())


def test_what_happens_between_two_lives_is_told(api: Api, store: Store) -> None:
    async def main() -> None:
        await Triggerer(watching()).live(100)
        api.convert(*range(1, 1001))
        second = Triggerer(watching())
        await second.live(100)
        third = Triggerer(watching())
        await third.live(300)
        assert told(second.events) + told(third.events) == list(range(1, 1001))

    run(main())


@pytest.mark.parametrize("seed", [0, 18, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 18))])
def test_crashes_lose_nothing_and_repeat_only_what_was_not_confirmed(api: Api, store: Store, seed: int) -> None:
    from random import Random

    random = Random(seed)

    async def main() -> None:
        lead = 0
        events: list[dict[str, Any]] = []
        await Triggerer(watching(poll_interval=5.0)).live(10)
        for _ in range(10):
            life = Triggerer(watching(poll_interval=5.0))
            running = asyncio.ensure_future(life.live(random.uniform(0, 40), confirm_after=random.uniform(0, 4)))
            while not running.done():
                number = random.choice([0, 1, 50, 400])
                api.convert(*range(lead + 1, lead + number + 1), hidden_for=random.choice([0, 0, 3]))
                lead += number
                await asyncio.sleep(random.uniform(0, 10))
            events += life.events
        await asyncio.sleep(10)
        last = Triggerer(watching(poll_interval=5.0))
        await last.live(20000)
        events += last.events
        assert set(told(events)) == set(range(1, lead + 1))
        again = [event["min_id"] for event in events]
        assert len(told(events)) - lead <= 300 * 10
        assert len(again) - len(set(again)) <= 10

    run(main())


def test_an_event_that_was_not_stored_stops_the_mark(api: Api, store: Store) -> None:
    async def main() -> None:
        producer = LeadConversionEventTrigger.create_shared_stream_producer(watching().serialize()[1])
        stream = producer.open_stream()
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(5)
        before = dict(store.values)
        api.convert(1)
        _, mark = await following
        with pytest.raises(RuntimeError, match="told again"):
            await producer.advance([AdvanceItem(broker_payload=mark, outcome=LOST)])
        assert store.values == before
        await stream.aclose()

    run(main())


def test_what_is_filtered_out_moves_the_mark_unless_an_event_is_on_its_way(api: Api, store: Store) -> None:
    async def main() -> None:
        producer = LeadConversionEventTrigger.create_shared_stream_producer(watching(creator_id=7).serialize()[1])
        stream = producer.open_stream()
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(5)
        (key,) = store.values
        api.convert(1)
        await asyncio.sleep(120)
        assert store.values[key]["mark"] == api.newest
        stored = api.newest
        api.convert(2)
        api.rows[0]["creator_id"] = 7
        _, mark = await following
        following = asyncio.ensure_future(anext(stream))
        api.convert(3)
        await asyncio.sleep(120)
        assert store.values[key]["mark"] == stored
        await producer.advance([AdvanceItem(broker_payload=mark, outcome=STORED)])
        assert store.values[key]["mark"] == stored + 3
        following.cancel()

    run(main())


def test_a_mark_can_be_seeded_with_an_id(api: Api, store: Store) -> None:
    async def main() -> None:
        api.convert(1, 2, 3)
        store.values["sell", "leadconv_default/lead_conversions"] = api.rows[-1]["id"]
        life = Triggerer(watching())
        await life.live(100)
        assert told(life.events) == [2, 3]

    run(main())


def test_a_mark_nobody_can_read_is_waited_for(api: Api, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        api.convert(1, 2)
        store.values["sell", "leadconv_default/lead_conversions"] = {"mark": "high"}
        life = Triggerer(watching())
        running = asyncio.ensure_future(life.live(1000))
        await asyncio.sleep(200)
        assert life.events == []
        store.broken = True
        await asyncio.sleep(200)
        store.broken = False
        store.values["sell", "leadconv_default/lead_conversions"] = 0
        await running
        assert told(life.events) == [1, 2]

    run(main())
    assert "leadconv_default/lead_conversions" in caplog.text
