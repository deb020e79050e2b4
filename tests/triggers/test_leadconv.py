"""The trigger and the reader its instances share, in simulated time."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import json
import logging
import time
from typing import Any

import pytest

from airflow_provider_leadconv.api.messages import Answer, NoAnswer
from airflow_provider_leadconv.triggers import shared_reader
from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger
from triggers.simulation import Api, run

INTERVAL = 5.0


def trigger(*lead_ids: int, **arguments: Any) -> LeadConversionTrigger:
    return LeadConversionTrigger(
        **{
            "lead_ids": list(lead_ids),
            "leadconv_conn_id": "leadconv_default",
            "mark": 0,
            "poll_interval": INTERVAL,
            "deadline": time.time() + 86400,
            "max_consecutive_failures": 10,
            **arguments,
        }
    )


async def outcome(waiting: LeadConversionTrigger) -> Any:
    events = [event.payload async for event in waiting.run()]
    assert len(events) == 1
    return json.loads(json.dumps(events[0]))


async def moment(waiting: LeadConversionTrigger) -> float:
    assert (await outcome(waiting))["status"] == "success"
    return asyncio.get_running_loop().time()


def start(*triggers: LeadConversionTrigger, finish: Any = outcome) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(finish(one)) for one in triggers]


def status(code: int) -> Answer:
    return Answer(status=code, headers={}, body=b"")


def test_is_made_anew_from_what_it_serializes() -> None:
    path, arguments = trigger(1, 2**40).serialize()
    assert path == "airflow_provider_leadconv.triggers.leadconv.LeadConversionTrigger"
    again = LeadConversionTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert set(arguments) == {
        "lead_ids",
        "leadconv_conn_id",
        "mark",
        "poll_interval",
        "deadline",
        "max_consecutive_failures",
    }


def test_yields_the_conversions_in_the_order_asked_for(api: Api) -> None:
    api.convert(5, 6, 7)

    async def main() -> None:
        result = await outcome(trigger(7, 5))
        assert [conversion["lead_id"] for conversion in result["conversions"]] == [7, 5]

    run(main())


def test_yields_a_timeout_at_the_deadline(api: Api) -> None:
    async def main() -> None:
        assert await outcome(trigger(1, deadline=time.time() + 60)) == {"status": "timeout"}
        assert 59 < asyncio.get_running_loop().time() <= 60

    run(main())


def test_a_deadline_that_passed_while_nobody_looked_is_a_timeout_at_once(api: Api) -> None:
    async def main() -> None:
        assert await outcome(trigger(1, deadline=time.time() - 3600)) == {"status": "timeout"}
        assert asyncio.get_running_loop().time() == 0

    run(main())


def test_a_thousand_triggers_share_one_poll(api: Api) -> None:
    """At most two requests an interval, and none waits longer than an interval and two seconds."""
    converted_at: dict[int, float] = {}

    async def main() -> list[float]:
        api.convert_others(1000)
        loop = asyncio.get_running_loop()
        tasks = start(*(trigger(lead, mark=api.newest) for lead in range(1, 1001)), finish=moment)
        await asyncio.sleep(10 * INTERVAL)
        for lead in range(1, 1001):
            converted_at[lead] = loop.time()
            api.convert(lead)
            await asyncio.sleep(0.2)
        return await asyncio.gather(*tasks)

    moments = run(main())
    assert max(done - converted_at[lead] for lead, done in enumerate(moments, 1)) <= INTERVAL + 2
    for second in range(2, 250, int(INTERVAL)):
        assert len(api.requests_between(second, second + INTERVAL)) <= 2
    assert api.opened == 1
    assert api.open_clients == 0


def test_a_burst_takes_a_page_for_each_two_hundred(api: Api) -> None:
    async def main() -> None:
        api.convert_others(1000)
        tasks = start(*(trigger(lead, mark=api.newest) for lead in range(1, 1001)))
        await asyncio.sleep(10 * INTERVAL + 1)
        before = len(api.requests)
        api.convert(*range(1, 1001))
        await asyncio.gather(*tasks)
        assert len(api.requests) - before <= 1 + 1000 / 200

    run(main())


def test_ids_that_become_visible_late_are_seen(api: Api) -> None:
    async def main() -> None:
        api.convert_others(500)
        tasks = start(trigger(1, mark=api.newest), trigger(2, mark=api.newest))
        await asyncio.sleep(12)
        api.convert(1, 2, hidden_for=30)
        api.convert_others(90)
        await asyncio.gather(*tasks)
        assert asyncio.get_running_loop().time() <= 12 + 30 + INTERVAL + 1

    run(main())


def test_a_miss_of_the_log_is_found_by_look_ups(api: Api) -> None:
    """Ids far below the mark are on no page that is read; each lead has its turn to be looked up."""

    async def main() -> None:
        tasks = start(*(trigger(lead) for lead in range(1, 11)))
        await asyncio.sleep(12)
        api.convert(3, hidden_for=60)
        api.convert_others(2000)
        assert await asyncio.wait_for(tasks[2], 60 + 11 * INTERVAL)
        for task in tasks:
            task.cancel()

    run(main())


@pytest.mark.parametrize("new", [100, 100_000])
def test_after_a_restart_what_happened_meanwhile_is_found(api: Api, new: int) -> None:
    """Be it by reading the log back, or by looking the leads up, where that is cheaper."""

    async def main() -> None:
        api.convert_others(300)
        mark = api.newest
        api.convert(*range(1, 11))
        api.convert_others(new)
        results = await asyncio.gather(*start(*(trigger(lead, mark=mark) for lead in range(1, 11))))
        assert [result["conversions"][0]["lead_id"] for result in results] == list(range(1, 11))

    run(main())
    assert len(api.requests) <= 12


def test_marks_do_not_hide_what_is_read(api: Api) -> None:
    async def main() -> None:
        api.convert(1)
        assert (await outcome(trigger(1, mark=api.newest + 1000)))["status"] == "success"

    run(main())


def test_a_refused_token_fails_all_at_once_with_the_reason(api: Api) -> None:
    async def main() -> None:
        tasks = start(*(trigger(lead) for lead in range(1, 101)))
        await asyncio.sleep(22)
        api.fault = lambda: status(401)
        results = await asyncio.gather(*tasks)
        assert asyncio.get_running_loop().time() <= 22 + INTERVAL + 1
        assert {result["error"]["type"] for result in results} == {"AuthenticationError"}

    run(main())
    assert len([query for moment, query in api.requests if moment > 22]) == 1


def test_a_corrected_connection_is_read_by_the_next(api: Api) -> None:
    async def main() -> None:
        api.fault = lambda: status(403)
        assert (await outcome(trigger(1)))["error"]["type"] == "PermissionDeniedError"
        api.fault = lambda: None
        api.convert(1)
        assert (await outcome(trigger(1)))["status"] == "success"

    run(main())
    assert api.opened == 2
    assert api.open_clients == 0


@pytest.mark.parametrize("answer", [status(429), status(503), NoAnswer(sent=True, reason="broken")])
def test_two_bad_minutes_fail_nobody(api: Api, answer: Answer | NoAnswer) -> None:
    async def main() -> None:
        tasks = start(*(trigger(lead) for lead in range(1, 101)))
        await asyncio.sleep(22)
        api.fault = lambda: answer
        await asyncio.sleep(120)
        api.fault = lambda: None
        api.convert(*range(1, 101))
        results = await asyncio.gather(*tasks)
        assert {result["status"] for result in results} == {"success"}

    run(main())
    for second in range(22, 142, int(INTERVAL)):
        assert len(api.requests_between(second, second + INTERVAL)) <= 1


def test_too_many_failures_in_a_row_end_the_wait(api: Api) -> None:
    api.fault = lambda: status(503)

    async def main() -> None:
        patient, hasty = start(trigger(1, max_consecutive_failures=None), trigger(1, max_consecutive_failures=2))
        assert (await hasty)["error"]["status"] == 503
        assert len(api.requests) == 3
        await asyncio.sleep(3600)
        assert not patient.done()
        patient.cancel()

    run(main())


def test_a_reading_that_breaks_goes_on_where_it_was(api: Api) -> None:
    """With every other request failing, a reading of many pages would never end if it began again each time."""

    async def main() -> None:
        api.convert_others(300)
        tasks = start(trigger(*range(1, 101), mark=api.newest))
        await asyncio.sleep(12)
        api.convert(*range(1, 101))
        api.convert_others(2000)
        turns = iter(range(10**6))
        api.fault = lambda: status(503) if next(turns) % 2 else None
        assert (await tasks[0])["status"] == "success"

    run(main())
    assert len(api.requests) < 40


def test_a_lead_the_api_refuses_fails_only_who_waits_for_it(api: Api) -> None:
    async def main() -> None:
        api.convert_others(500)
        tasks = start(trigger(422), trigger(2))
        refused = status(422)
        api.fault = lambda: refused if "lead_id=422" in api.requests[-1][1] else None
        assert (await tasks[0])["error"]["type"] == "InvalidRequestError"
        api.convert(2)
        assert (await tasks[1])["status"] == "success"

    run(main())


def test_a_member_that_leaves_disturbs_nobody(api: Api) -> None:
    async def main() -> None:
        first, second = start(trigger(1), trigger(1, 2))
        await asyncio.sleep(0.05)  # in the middle of a request
        first.cancel()
        await asyncio.sleep(20)
        api.convert(1, 2)
        assert (await second)["status"] == "success"

    run(main())
    assert api.opened == 1


def test_it_ends_with_its_last_member_and_starts_anew(api: Api) -> None:
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

    run(main())
    assert api.opened == 2


def test_the_smallest_interval_counts_at_once(api: Api) -> None:
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

    run(main())


def test_two_connections_are_read_apart(api: Api) -> None:
    async def main() -> None:
        tasks = start(trigger(1), trigger(1, leadconv_conn_id="other"))
        await asyncio.sleep(1)
        assert api.opened == 2
        for task in tasks:
            task.cancel()

    run(main())


def test_it_does_not_run_in_the_context_of_its_first_member(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    task_log: contextvars.ContextVar[str] = contextvars.ContextVar("task_log")
    seen = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(task_log.get(None))

    handler = Handler()
    shared_reader.log.addHandler(handler)

    async def main() -> None:
        task_log.set("the first member's")
        api.fault = lambda: status(401)
        await outcome(trigger(1))

    try:
        run(main())
    finally:
        shared_reader.log.removeHandler(handler)
    assert seen == [None]


def test_a_reader_that_breaks_lets_nobody_wait(api: Api) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        api.fault = broken
        results = await asyncio.gather(*start(trigger(1), trigger(2)), return_exceptions=True)
        assert [type(result) for result in results] == [ZeroDivisionError] * 2
        api.fault = lambda: None
        api.convert(1)
        assert (await outcome(trigger(1)))["status"] == "success"

    run(main())


def test_progress_is_told_at_most_once_a_minute(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[float, str]] = []

    async def main() -> None:
        waiting = trigger(*range(1, 41))
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(waiting.log, "info", lambda _, line: told.append((loop.time(), line)))
        tasks = start(waiting)
        for lead in range(1, 41):
            await asyncio.sleep(10)
            api.convert(lead)
        await asyncio.gather(*tasks)

    run(main())
    assert len(told) == 6
    assert all(later[0] - earlier[0] >= 60 for earlier, later in itertools.pairwise(told))
    assert told[0][1].endswith("of 40 leads are converted")


def test_no_callback_holds_the_loop(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 1,000 members and 10,000 new conversions at once, no step takes more than 50 ms of this thread."""
    longest = in_server = 0.0
    run_handle, answer = asyncio.Handle._run, api._answer

    def measured(handle: asyncio.Handle) -> None:
        nonlocal longest
        began = time.thread_time() - in_server
        run_handle(handle)
        longest = max(longest, time.thread_time() - in_server - began)

    def served(query: str) -> Answer:
        """The simulated server works in the same thread; its time is not ours."""
        nonlocal in_server
        began = time.thread_time()
        try:
            return answer(query)
        finally:
            in_server += time.thread_time() - began

    async def main() -> None:
        nonlocal longest
        api.convert_others(500)
        tasks = start(*(trigger(lead, mark=api.newest) for lead in range(1, 1001)))
        await asyncio.sleep(3 * INTERVAL)
        for lead in range(1, 1001):
            api.convert(lead)
            api.convert_others(9)
        await asyncio.sleep(0)  # this step was the test's own
        longest = 0.0
        await asyncio.gather(*tasks)

    monkeypatch.setattr(asyncio.Handle, "_run", measured)
    monkeypatch.setattr(api, "_answer", served)
    gc.collect()
    gc.freeze()  # what the tests before have left is not ours to search, either
    try:
        run(main())
    finally:
        gc.unfreeze()
    print(f"longest step: {longest * 1000:.1f} ms")
    assert longest < 0.05
