"""The trigger and the reader its instances share, in simulated time."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time

import pytest

from airflow_provider_leadconv.api.http import Response, TransportFailure
from airflow_provider_leadconv.triggers.leadconv import LeadConversionTrigger
from tests.support.responses import AFTER, NOT_SENT
from tests.support.trigger_simulation import SimulatedApi
from tests.support.triggers import Logged, payload_of, start, status, trigger


def test_serialization_restores_the_trigger() -> None:
    path, arguments = trigger(1, 2**40).serialize()
    assert path == "airflow_provider_leadconv.triggers.leadconv.LeadConversionTrigger"
    again = LeadConversionTrigger(**json.loads(json.dumps(arguments)))
    assert again.serialize() == (path, arguments)
    assert set(arguments) == {
        "lead_ids",
        "leadconv_conn_id",
        "start_watermark",
        "poll_interval",
        "deadline",
        "max_consecutive_failures",
    }


def test_yields_the_conversions_in_the_order_asked_for(api: SimulatedApi) -> None:
    api.convert(5, 6, 7)

    async def main() -> None:
        payload = await payload_of(trigger(7, 5))
        assert [conversion["lead_id"] for conversion in payload["conversions"]] == [7, 5]

    api.run(main())


def test_yields_a_timeout_at_the_deadline(api: SimulatedApi) -> None:
    async def main() -> None:
        assert await payload_of(trigger(1, deadline=time.time() + 60)) == {"status": "timeout"}
        assert 59 < asyncio.get_running_loop().time() <= 60

    api.run(main())


def test_a_deadline_in_the_past_is_a_timeout_at_once(api: SimulatedApi) -> None:
    async def main() -> None:
        assert await payload_of(trigger(1, deadline=time.time() - 3600)) == {"status": "timeout"}
        assert asyncio.get_running_loop().time() == 0

    api.run(main())


def test_too_many_failures_in_a_row_end_the_wait(api: SimulatedApi) -> None:
    api.on_request = lambda sent: status(503)

    async def main() -> None:
        patient, hasty = start(trigger(1, max_consecutive_failures=None), trigger(1, max_consecutive_failures=2))
        assert (await hasty)["error"]["status_code"] == 503
        assert len(api.requests) == 3
        await asyncio.sleep(3600)
        assert not patient.done()
        patient.cancel()

    api.run(main())


def test_progress_is_logged_at_most_once_a_minute(api: SimulatedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    logged = Logged(monkeypatch)

    async def main() -> None:
        tasks = start(logged.by(trigger(*range(1, 41), deadline=time.time() + 7200)))
        for lead in range(1, 41):
            await asyncio.sleep(10)
            api.convert(lead)
        await asyncio.gather(*tasks)

    api.run(main())
    assert logged.lines[0] == (
        "Waiting for leads 1, 2, 3, 4, 5 and 35 more (connection 'leadconv_default', poll every 5 s)"
    )
    assert logged.lines[-1] == "40 of 40 leads are converted"
    between = logged.lines[1:-1]
    assert len(between) == 6
    assert all(60 <= later - earlier < 61 for earlier, later in itertools.pairwise(logged.times[1:-1]))
    assert re.fullmatch(
        r"\d of 40 leads are converted; waiting for leads (\d+, ){4}\d+ and \d+ more; 1 h 59 min until the timeout",
        between[0],
    )


def test_progress_has_the_error_of_the_last_request(api: SimulatedApi, monkeypatch: pytest.MonkeyPatch) -> None:
    api.on_request = lambda sent: status(503)
    logged = Logged(monkeypatch)

    async def main() -> None:
        (waiting,) = start(logged.by(trigger(1, deadline=time.time() + 7200, max_consecutive_failures=None)))
        await asyncio.sleep(70)
        waiting.cancel()

    api.run(main())
    assert logged.lines[1] == "lead 1 is not yet converted; 1 h 59 min until the timeout"
    assert logged.lines[2].startswith("The last request failed, and is retried: the API answered 503: an empty body (")
    assert len(logged.lines) == 3


@pytest.mark.parametrize("reply", [status(401), status(404), status(410), status(503), NOT_SENT])
def test_a_wait_without_a_maximum_of_failures_ends_after_the_retirement(
    api: SimulatedApi, reply: Response | TransportFailure
) -> None:
    async def main() -> None:
        waiting = asyncio.ensure_future(payload_of(trigger(1, deadline=2e9, max_consecutive_failures=None)))
        await asyncio.sleep(100)
        api.date, api.on_request = AFTER, lambda sent: reply
        payload = await waiting
        assert (payload["status"], payload["error"]["type"]) == ("error", "RetiredError")
        assert asyncio.get_running_loop().time() < 100 + 3600 + 120

    api.run(main())
