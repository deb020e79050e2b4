"""The reader that the triggers of one connection share, in simulated time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import time
from itertools import pairwise

import pytest

from airflow_provider_leadconv.api.http import Response, TransportFailure
from airflow_provider_leadconv.triggers import shared_reader
from tests.support.endpoint import other_leads
from tests.support.responses import UNFORESEEN
from tests.support.trigger_simulation import SimulatedApi
from tests.support.triggers import INTERVAL, moment, payload_of, start, status, trigger


def test_a_thousand_triggers_share_one_poll(api: SimulatedApi) -> None:
    """At most two requests an interval, and none waits longer than an interval and two seconds."""
    converted_at: dict[int, float] = {}

    async def main() -> list[float]:
        api.convert(*other_leads(1000))
        loop = asyncio.get_running_loop()
        tasks = start(*(trigger(lead, start_watermark=api.newest_id) for lead in range(1, 1001)), finish=moment)
        await asyncio.sleep(10 * INTERVAL)
        for lead in range(1, 1001):
            converted_at[lead] = loop.time()
            api.convert(lead)
            await asyncio.sleep(0.2)
        return await asyncio.gather(*tasks)

    moments = api.run(main())
    assert max(done - converted_at[lead] for lead, done in enumerate(moments, 1)) <= INTERVAL + 2
    for second in range(2, 250, int(INTERVAL)):
        assert len(api.queries_between(second, second + INTERVAL)) <= 2
    assert api.opened == 1
    assert api.open_clients == 0


def test_a_burst_takes_a_page_for_each_two_hundred(api: SimulatedApi) -> None:
    async def main() -> None:
        api.convert(*other_leads(1000))
        tasks = start(*(trigger(lead, start_watermark=api.newest_id) for lead in range(1, 1001)))
        await asyncio.sleep(10 * INTERVAL + 1)
        before = len(api.requests)
        api.convert(*range(1, 1001))
        await asyncio.gather(*tasks)
        assert len(api.requests) - before <= 1 + 1000 / 200

    api.run(main())


def test_ids_that_become_visible_late_are_seen(api: SimulatedApi) -> None:
    async def main() -> None:
        api.convert(*other_leads(500))
        tasks = start(trigger(1, start_watermark=api.newest_id), trigger(2, start_watermark=api.newest_id))
        await asyncio.sleep(12)
        api.convert(1, 2, visible_after=30)
        api.convert(*other_leads(90))
        await asyncio.gather(*tasks)
        assert asyncio.get_running_loop().time() <= 12 + 30 + INTERVAL + 1

    api.run(main())


def test_a_conversion_below_the_overlap_window_is_found_by_look_ups(api: SimulatedApi) -> None:
    """Ids far below the watermark are on no page that is read; each lead has its turn to be looked up."""

    async def main() -> None:
        tasks = start(*(trigger(lead) for lead in range(1, 11)))
        await asyncio.sleep(12)
        api.convert(3, visible_after=60)
        api.convert(*other_leads(2000))
        assert await asyncio.wait_for(tasks[2], 60 + 11 * INTERVAL)
        for task in tasks:
            task.cancel()

    api.run(main())


@pytest.mark.parametrize("new", [100, 100_000])
def test_conversions_made_during_a_restart_are_found(api: SimulatedApi, new: int) -> None:
    """Be it by reading the log back, or by looking the leads up, where that is cheaper."""

    async def main() -> None:
        api.convert(*other_leads(300))
        watermark = api.newest_id
        api.convert(*range(1, 11))
        api.convert(*other_leads(new))
        results = await asyncio.gather(*start(*(trigger(lead, start_watermark=watermark) for lead in range(1, 11))))
        assert [result["conversions"][0]["lead_id"] for result in results] == list(range(1, 11))

    api.run(main())
    assert len(api.requests) <= 12


def test_a_watermark_above_a_conversion_does_not_hide_it(api: SimulatedApi) -> None:
    async def main() -> None:
        api.convert(1)
        assert (await payload_of(trigger(1, start_watermark=api.newest_id + 1000)))["status"] == "success"

    api.run(main())


def test_a_refused_token_fails_all_members_at_once(api: SimulatedApi) -> None:
    async def main() -> None:
        tasks = start(*(trigger(lead) for lead in range(1, 101)))
        await asyncio.sleep(22)
        api.on_request = lambda sent: status(401)
        results = await asyncio.gather(*tasks)
        assert asyncio.get_running_loop().time() <= 22 + INTERVAL + 1
        assert {result["error"]["type"] for result in results} == {"AuthenticationError"}

    api.run(main())
    assert len([sent for sent in api.requests if sent.at > 22]) == 1


def test_a_corrected_connection_is_read_by_the_next(api: SimulatedApi) -> None:
    async def main() -> None:
        api.on_request = lambda sent: status(403)
        assert (await payload_of(trigger(1)))["error"]["type"] == "PermissionDeniedError"
        api.on_request = lambda sent: None
        api.convert(1)
        assert (await payload_of(trigger(1)))["status"] == "success"

    api.run(main())
    assert api.opened == 2
    assert api.open_clients == 0


@pytest.mark.parametrize("response", [status(429), status(503), TransportFailure(sent=True, reason="broken")])
def test_two_minutes_of_failures_fail_no_trigger(api: SimulatedApi, response: Response | TransportFailure) -> None:
    async def main() -> None:
        tasks = start(*(trigger(lead) for lead in range(1, 101)))
        await asyncio.sleep(22)
        api.on_request = lambda sent: response
        await asyncio.sleep(120)
        api.on_request = lambda sent: None
        api.convert(*range(1, 101))
        results = await asyncio.gather(*tasks)
        assert {result["status"] for result in results} == {"success"}

    api.run(main())
    for second in range(22, 142, int(INTERVAL)):
        assert len(api.queries_between(second, second + INTERVAL)) <= 1


def test_a_failed_reading_continues_at_the_failed_page(api: SimulatedApi) -> None:
    """With every other request failing, a reading of many pages would never end if it began again each time."""

    async def main() -> None:
        api.convert(*other_leads(300))
        tasks = start(trigger(*range(1, 101), start_watermark=api.newest_id))
        await asyncio.sleep(12)
        api.convert(*range(1, 101))
        api.convert(*other_leads(2000))
        turns = iter(range(10**6))
        api.on_request = lambda sent: status(503) if next(turns) % 2 else None
        assert (await tasks[0])["status"] == "success"

    api.run(main())
    assert len(api.requests) < 40


def test_a_refused_look_up_fails_only_the_triggers_of_its_lead(api: SimulatedApi) -> None:
    async def main() -> None:
        api.convert(*other_leads(500))
        tasks = start(trigger(422), trigger(2))
        refused = status(422)
        api.on_request = lambda sent: refused if "lead_id=422" in sent.query else None
        assert (await tasks[0])["error"]["type"] == "InvalidRequestError"
        api.convert(2)
        assert (await tasks[1])["status"] == "success"

    api.run(main())


def test_a_cancelled_member_does_not_affect_others(api: SimulatedApi) -> None:
    async def main() -> None:
        first, second = start(trigger(1), trigger(1, 2))
        await asyncio.sleep(0.05)  # in the middle of a request
        first.cancel()
        await asyncio.sleep(20)
        api.convert(1, 2)
        assert (await second)["status"] == "success"

    api.run(main())
    assert api.opened == 1


def test_the_reader_ends_with_its_last_member_and_starts_again(api: SimulatedApi) -> None:
    async def main() -> None:
        for _ in range(2):
            (waiting,) = start(trigger(1))
            await asyncio.sleep(12)
            waiting.cancel()
            before = len(api.requests)
            await asyncio.sleep(100)
            assert len(api.requests) == before
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert api.open_clients == 0

    api.run(main())
    assert api.opened == 2


def test_the_smallest_interval_counts_at_once(api: SimulatedApi) -> None:
    async def main() -> None:
        slow, fast = start(trigger(1, poll_interval=3600.0), trigger(2, poll_interval=3600.0))
        await asyncio.sleep(100)
        (faster,) = start(trigger(1, poll_interval=5.0))
        await asyncio.sleep(1)
        api.convert(1)
        await faster
        assert asyncio.get_running_loop().time() < 108
        await slow
        fast.cancel()

    api.run(main())


def test_two_connections_are_read_apart(api: SimulatedApi) -> None:
    async def main() -> None:
        tasks = start(trigger(1), trigger(1, leadconv_conn_id="other"))
        await asyncio.sleep(1)
        assert api.opened == 2
        for task in tasks:
            task.cancel()

    api.run(main())


def test_the_reader_does_not_run_in_the_context_of_its_first_member(
    api: SimulatedApi, caplog: pytest.LogCaptureFixture
) -> None:
    task_log: contextvars.ContextVar[str] = contextvars.ContextVar("task_log")
    seen = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(task_log.get(None))

    handler = Handler()
    shared_reader.log.addHandler(handler)

    async def main() -> None:
        task_log.set("the first member's")
        api.on_request = lambda sent: status(401)
        await payload_of(trigger(1))

    try:
        api.run(main())
    finally:
        shared_reader.log.removeHandler(handler)
    assert seen == [None]


def test_a_crashed_reader_fails_every_member(api: SimulatedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(conn_id: str) -> None:
        raise ZeroDivisionError  # as a secrets backend may

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(shared_reader, "open_async_client", broken)
            results = await asyncio.gather(*start(trigger(1), trigger(2)), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError] * 2
        api.convert(1)
        assert (await payload_of(trigger(1)))["status"] == "success"

    api.run(main())


def test_an_unforeseen_exception_of_the_transport_is_a_failed_request(api: SimulatedApi) -> None:
    async def main() -> None:
        api.on_request = lambda sent: UNFORESEEN if sent.number <= 6 else None
        api.convert(1)
        assert (await payload_of(trigger(1)))["status"] == "success"

    api.run(main())
    assert len(api.requests) > 6


def test_no_callback_blocks_the_event_loop(api: SimulatedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1,000 members and 10,000 new conversions at once, no step takes more than 50 ms of this thread."""
    longest = in_server = 0.0
    run_handle, page = asyncio.Handle._run, api.page

    def measured(handle: asyncio.Handle) -> None:
        nonlocal longest
        began = time.thread_time() - in_server
        run_handle(handle)
        longest = max(longest, time.thread_time() - in_server - began)

    def served(parameters: dict[str, str]) -> Response:
        """The simulated server works in the same thread; its time is not ours."""
        nonlocal in_server
        began = time.thread_time()
        try:
            return page(parameters)
        finally:
            in_server += time.thread_time() - began

    async def main() -> None:
        nonlocal longest
        api.convert(*other_leads(500))
        tasks = start(*(trigger(lead, start_watermark=api.newest_id) for lead in range(1, 1001)))
        await asyncio.sleep(3 * INTERVAL)
        for lead in range(1, 1001):
            api.convert(lead)
            api.convert(*other_leads(9))
        await asyncio.sleep(0)  # this step was the test's own
        longest = 0.0
        await asyncio.gather(*tasks)

    monkeypatch.setattr(asyncio.Handle, "_run", measured)
    monkeypatch.setattr(api, "page", served)
    gc.collect()
    gc.freeze()  # what the tests before have left is not ours to search, either
    try:
        api.run(main())
    finally:
        gc.unfreeze()
    print(f"longest step: {longest * 1000:.1f} ms")
    assert longest < 0.05


def test_a_look_up_that_always_fails_delays_no_poll_and_fails_only_its_own_subscribers(api: SimulatedApi) -> None:
    api.on_request = lambda sent: status(500) if "lead_id=1&" in f"{sent.query}&" else None

    async def main() -> None:
        api.convert(*other_leads(500))
        failing, patient, other = start(
            trigger(1, max_consecutive_failures=5), trigger(1, max_consecutive_failures=None), trigger(2)
        )
        loop = asyncio.get_running_loop()
        assert (await failing)["error"]["type"] == "UnavailableError"
        started = loop.time()
        api.convert(2)
        assert (await other)["status"] == "success"
        assert loop.time() - started <= INTERVAL + 1
        await asyncio.sleep(200)
        assert not patient.done()
        patient.cancel()

    api.run(main())
    polls = [sent.at for sent in api.requests if "lead_id" not in sent.query]
    assert max(later - earlier for earlier, later in pairwise(polls)) <= INTERVAL + 1


def test_a_look_up_that_hangs_delays_no_poll_and_no_other_look_up_for_ever(api: SimulatedApi) -> None:
    hanging = TransportFailure(sent=True, reason="no response in time")
    api.on_request = lambda sent: hanging if "lead_id=1&" in f"{sent.query}&" else None

    async def main() -> None:
        tasks = start(*(trigger(lead) for lead in range(1, 6)))
        await asyncio.sleep(12)
        api.convert(3, hidden_for=60)
        api.convert(*other_leads(2000))
        assert await asyncio.wait_for(tasks[2], 60 + 12 * INTERVAL)
        for task in tasks:
            task.cancel()

    api.run(main())


def test_a_sensor_that_is_cancelled_cancels_its_look_up(api: SimulatedApi) -> None:
    async def main() -> None:
        api.convert(*other_leads(500))
        (waiting, other) = start(trigger(1), trigger(2))
        await asyncio.sleep(0.15)  # in the middle of the first look-up
        waiting.cancel()
        await asyncio.sleep(5 * INTERVAL)
        other.cancel()

    api.run(main())
    assert len([sent for sent in api.requests if "lead_id=1&" in f"{sent.query}&"]) <= 1
