"""Endless polling for new conversions, used by the event triggers of all Airflow versions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from airflow_provider_leadconv.api.exceptions import LeadConversionError, RetiredError
from airflow_provider_leadconv.api.models import LeadConversion
from airflow_provider_leadconv.changefeed import OverlapWindow, SettledWatermark
from airflow_provider_leadconv.triggers.shared_reader import SharedReader, shared_reader
from airflow_provider_leadconv.waiting.event_batches import EventBatch, event_batches, window_from_now

log = logging.getLogger(__name__)

BACK_OFF = 60.0
"""Minimum seconds until the next poll after an error that requires user action."""


async def new_conversions(conn_id: str, interval: float, window: OverlapWindow | None) -> AsyncGenerator[EventBatch]:
    """Poll for new conversions, and yield at most one batch per interval. Once Sell is retired, polling ends.

    :param conn_id: id of the Airflow connection.
    :param interval: seconds between two polls.
    :param window: overlap window of the last batch; ``None``: start from now, with an empty batch that only has the
        window to store.
    :return: the batches, without an end.
    """
    try:
        async with aclosing(_poll(conn_id, interval, window)) as batches:
            async for batch in batches:
                yield batch
    except RetiredError as error:
        log.error("Stopped watching for lead conversions until the triggerer restarts: %s", error)  # noqa: TRY400
        await asyncio.get_running_loop().create_future()  # if the trigger ended, Airflow would start it again at once


async def _poll(conn_id: str, interval: float, window: OverlapWindow | None) -> AsyncGenerator[EventBatch]:
    clock = asyncio.get_running_loop().time
    with shared_reader(conn_id, interval) as reader:
        if window is None:
            window = window_from_now(await _rows_above(reader, None, interval))
            yield EventBatch([], window)
        settled = SettledWatermark(window.low_watermark)
        settled.note_seen(window.high_watermark, clock())
        while True:
            polled_window, started_at = window, clock()
            rows = await _rows_above(reader, polled_window, interval)
            settled_id = settled.for_read(started_at, reader.settle_time)
            settled.note_seen(rows[0].id if rows else 0, clock())
            for batch in event_batches(window, rows, settled_id):
                window = batch.window
                yield batch
                await asyncio.sleep(interval)
            if window is polled_window:
                await asyncio.sleep(interval)


def by_creator(conversions: Iterable[LeadConversion], creator_id: int | None) -> list[LeadConversion]:
    """Return the conversions by a user; all of them if ``creator_id`` is ``None``."""
    return [row for row in conversions if creator_id is None or row.creator_id == creator_id]


async def _rows_above(reader: SharedReader, window: OverlapWindow | None, interval: float) -> list[LeadConversion]:
    """Read the changefeed.

    Other permanent errors are retried, too, since Airflow restarts a failed trigger at once.

    :raises RetiredError: if Sell is retired.
    """
    while True:
        try:
            return await reader.rows_above(window)
        except RetiredError:
            raise
        except LeadConversionError as error:
            back_off = max(BACK_OFF, interval)
            log.error("No new conversions are detected; trying again in %.0f s: %s", back_off, error)  # noqa: TRY400
            await asyncio.sleep(back_off)
