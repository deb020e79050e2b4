"""The event trigger in simulated time, with its producer, as Airflow 3.3 runs it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from capabilities import needs_durable_events

needs_durable_events.or_skip_module()

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType  # noqa: E402  # not there in every version
from airflow.sdk.execution_time import comms  # noqa: E402
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome  # noqa: E402

from airflow_provider_leadconv.triggers import event_producer  # noqa: E402
from airflow_provider_leadconv.triggers.events import LeadConversionEventTrigger  # noqa: E402
from triggers.events import told, watching  # noqa: E402
from triggers.simulation import Api, run  # noqa: E402

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
