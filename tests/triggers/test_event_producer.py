"""The event trigger in simulated time, with its producer, as Airflow 3.3 runs it."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.capabilities import needs_durable_events

needs_durable_events.or_skip_module()

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType  # noqa: E402  # not there in every version
from airflow.sdk.execution_time import comms  # noqa: E402
from airflow.triggers.shared_stream import AdvanceItem, AdvanceOutcome  # noqa: E402

from airflow_provider_leadconv.triggers import event_producer  # noqa: E402
from airflow_provider_leadconv.triggers.asset_events import LeadConversionEventTrigger  # noqa: E402
from tests.support.trigger_simulation import SimulatedApi, Traffic  # noqa: E402
from tests.support.triggers import event_trigger, lead_ids_of  # noqa: E402

STORED = AdvanceOutcome(acked=1, failed=0)
LOST = AdvanceOutcome(acked=0, failed=1)


class Store:
    """The state store of assets, over crashes."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], Any] = {}
        self.broken = False
        self.max_bytes = 65_535
        """What Airflow's API takes."""

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
                assert len(json.dumps(value)) <= store.max_bytes
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
        self.acknowledged: list[dict[str, Any]] = []
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
        async for event, window in self._producer.open_stream():
            self.events.append(event)
            await asyncio.sleep(confirm_after)
            await self._producer.advance([AdvanceItem(broker_payload=window, outcome=STORED)])
            self.acknowledged.append(event)


def test_the_watermark_is_stored_at_the_start_and_with_each_event(api: SimulatedApi, store: Store) -> None:
    async def main() -> None:
        api.convert(1, 2)
        life = Triggerer(event_trigger())
        running = asyncio.ensure_future(life.live(100))
        await asyncio.sleep(5)
        assert store.values["sell", "leadconv_default/lead_conversions"]["high_watermark"] == api.newest_id
        api.convert(3)
        await running
        assert lead_ids_of(life.events) == [3]
        assert store.values["sell", "leadconv_default/lead_conversions"]["high_watermark"] == api.newest_id

    api.run(main())


def test_conversions_made_while_the_triggerer_is_down_are_emitted(api: SimulatedApi, store: Store) -> None:
    async def main() -> None:
        await Triggerer(event_trigger()).live(100)
        api.convert(*range(1, 1001))
        second = Triggerer(event_trigger())
        await second.live(100)
        third = Triggerer(event_trigger())
        await third.live(300)
        assert lead_ids_of(second.events) + lead_ids_of(third.events) == list(range(1, 1001))

    api.run(main())


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 19))])
def test_crashes_lose_nothing_and_repeat_only_unacknowledged_events(api: SimulatedApi, store: Store, seed: int) -> None:
    random = Random(seed)

    async def main() -> None:
        lead = 0
        events: list[dict[str, Any]] = []
        await Triggerer(event_trigger(poll_interval=5.0)).live(10)
        for _ in range(10):
            life = Triggerer(event_trigger(poll_interval=5.0))
            running = asyncio.ensure_future(life.live(random.uniform(0, 40), confirm_after=random.uniform(0, 4)))
            while not running.done():
                number = random.choice([0, 1, 50, 400])
                api.convert(*range(lead + 1, lead + number + 1), visible_after=random.choice([0, 0, 3]))
                lead += number
                await asyncio.sleep(random.uniform(0, 10))
            events += life.events
        await asyncio.sleep(10)
        last = Triggerer(event_trigger(poll_interval=5.0))
        await last.live(2000)
        events += last.events
        assert set(lead_ids_of(events)) == set(range(1, lead + 1))
        again = [event["min_id"] for event in events]
        assert len(lead_ids_of(events)) - lead <= 300 * 10
        assert len(again) - len(set(again)) <= 10

    api.run(main())


async def emitted_by(traffic: Traffic, api: SimulatedApi, lives: list[float], random: Random) -> list[int]:
    """Let triggerers live one after the other while others convert leads, and the last one until all is quiet.

    :return: the leads in the events, without those that were emitted again since their event was not acknowledged.
    """
    leads: list[int] = []
    await Triggerer(event_trigger(poll_interval=1.0)).live(5)
    playing = asyncio.ensure_future(api.play(traffic, random))
    quiet = traffic.seconds + traffic.lateness + 2 * len(traffic.leads) / 300 + 60
    for seconds in [*lives, quiet]:
        life = Triggerer(event_trigger(poll_interval=1.0))
        await life.live(seconds, confirm_after=0.0)
        leads += lead_ids_of(life.acknowledged)
    await playing
    return leads


@pytest.mark.parametrize(
    "traffic",
    [
        Traffic(rate=300, seconds=14, late=0.3, lateness=1.0),
        Traffic(rate=300, seconds=14, late=0.01, lateness=30.0),
        Traffic(rate=50, seconds=120, late=0.1, lateness=30.0, id_step=500),
    ],
)
def test_no_conversion_is_lost_at_a_high_rate(api: SimulatedApi, store: Store, traffic: Traffic) -> None:
    async def main() -> None:
        assert sorted(await emitted_by(traffic, api, [], Random(0))) == list(traffic.leads)

    api.run(main())


@settings(deadline=None, max_examples=15)
@given(
    rate=st.sampled_from([1, 10, 100, 300]),
    late=st.sampled_from([0.001, 0.1, 0.9]),
    lateness=st.floats(0, 30),
    id_step=st.sampled_from([1, 3, 100]),
    lives=st.lists(st.floats(0.5, 40), max_size=4),
    seed=st.integers(0, 100),
)
def test_restarts_at_any_rate_emit_every_conversion_exactly_once_if_events_are_acknowledged(
    rate: int, late: float, lateness: float, id_step: int, lives: list[float], seed: int
) -> None:
    traffic = Traffic(rate, min(60.0, 3000 / rate), late, lateness, id_step)
    with pytest.MonkeyPatch.context() as monkeypatch:
        api = SimulatedApi()
        api.install(monkeypatch)
        Store().install(monkeypatch)
        emitted = api.run(emitted_by(traffic, api, lives, Random(seed)))
    assert sorted(emitted) == list(traffic.leads)


def test_a_window_larger_than_the_store_loses_nothing_and_says_once_that_a_restart_repeats(
    api: SimulatedApi, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    traffic = Traffic(rate=300, seconds=14, late=0.1, lateness=30.0)
    store.max_bytes = 2000
    monkeypatch.setenv("AIRFLOW__STATE_STORE__MAX_VALUE_STORAGE_BYTES", "2000")

    async def main() -> None:
        emitted = await emitted_by(traffic, api, [20.0, 20.0], Random(0))
        assert set(emitted) == set(traffic.leads)
        assert len(emitted) > len(traffic.leads)

    api.run(main())
    warned = [record for record in caplog.records if "max_value_storage_bytes" in record.message]
    assert 1 <= len(warned) <= 3  # once in each life of the triggerer


def test_an_event_that_was_not_stored_keeps_the_watermark(api: SimulatedApi, store: Store) -> None:
    async def main() -> None:
        producer = LeadConversionEventTrigger.create_shared_stream_producer(event_trigger().serialize()[1])
        stream = producer.open_stream()
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(5)
        before = dict(store.values)
        api.convert(1)
        _, window = await following
        with pytest.raises(RuntimeError, match="emitted again"):
            await producer.advance([AdvanceItem(broker_payload=window, outcome=LOST)])
        assert store.values == before
        await stream.aclose()

    api.run(main())


def test_filtered_conversions_move_the_watermark_if_no_event_is_unacknowledged(api: SimulatedApi, store: Store) -> None:
    async def main() -> None:
        producer = LeadConversionEventTrigger.create_shared_stream_producer(event_trigger(creator_id=7).serialize()[1])
        stream = producer.open_stream()
        following = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(5)
        (key,) = store.values
        api.convert(1)
        await asyncio.sleep(120)
        assert store.values[key]["high_watermark"] == api.newest_id
        stored = api.newest_id
        api.convert(2)
        api.rows[api.newest_id]["creator_id"] = 7
        _, window = await following
        following = asyncio.ensure_future(anext(stream))
        api.convert(3)
        await asyncio.sleep(120)
        assert store.values[key]["high_watermark"] == stored
        await producer.advance([AdvanceItem(broker_payload=window, outcome=STORED)])
        assert store.values[key]["high_watermark"] == stored + 3
        following.cancel()

    api.run(main())


def test_a_watermark_can_be_an_id(api: SimulatedApi, store: Store) -> None:
    async def main() -> None:
        api.convert(1, 2, 3)
        store.values["sell", "leadconv_default/lead_conversions"] = api.ids[0]
        life = Triggerer(event_trigger())
        await life.live(100)
        assert lead_ids_of(life.events) == [2, 3]

    api.run(main())


def test_an_unreadable_watermark_is_retried(api: SimulatedApi, store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        api.convert(1, 2)
        store.values["sell", "leadconv_default/lead_conversions"] = {"high_watermark": "high"}
        life = Triggerer(event_trigger())
        running = asyncio.ensure_future(life.live(1000))
        await asyncio.sleep(200)
        assert life.events == []
        store.broken = True
        await asyncio.sleep(200)
        store.broken = False
        store.values["sell", "leadconv_default/lead_conversions"] = 0
        await running
        assert lead_ids_of(life.events) == [1, 2]

    api.run(main())
    assert "leadconv_default/lead_conversions" in caplog.text
