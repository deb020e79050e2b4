"""New conversions, forever: what event triggers of every Airflow version go by."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable

from airflow_provider_leadconv.api.errors import LeadConversionError
from airflow_provider_leadconv.api.records import LeadConversion
from airflow_provider_leadconv.jobs.feed import Window
from airflow_provider_leadconv.jobs.news import Portion, portions, starting_now
from airflow_provider_leadconv.triggers.shared_reader import SharedReader, shared_reader

log = logging.getLogger(__name__)

BACK_OFF = 60.0
"""Seconds until the next poll at the least, after an error that somebody has to correct."""


async def new_conversions(conn_id: str, interval: float, window: Window | None) -> AsyncGenerator[Portion]:
    """Poll for new conversions, one portion an interval.

    :param window: what is taken already; ``None``: all there is now, and the first portion is empty and has the window
        to remember.
    """
    with shared_reader(conn_id, interval) as reader:
        if window is None:
            window = starting_now(await _rows_above(reader, None, interval))
            yield Portion([], window)
        while True:
            before = window
            rows = await _rows_above(reader, before.floor, interval)
            for portion in portions(window, rows):
                window = portion.window
                yield portion
                await asyncio.sleep(interval)
            if window is before:
                await asyncio.sleep(interval)


def of_creator(conversions: Iterable[LeadConversion], creator_id: int | None) -> list[LeadConversion]:
    """:return: those that the user made; all if there is no user."""
    return [row for row in conversions if creator_id is None or row.creator_id == creator_id]


async def _rows_above(reader: SharedReader, floor: int | None, interval: float) -> list[LeadConversion]:
    """Read the log, however long somebody takes to correct what is wrong: Airflow restarts what raises, at once."""
    while True:
        try:
            return await reader.rows_above(floor)
        except LeadConversionError as error:
            back_off = max(BACK_OFF, interval)
            log.error("no lead conversions are seen until this is corrected, next try in %.0f s: %s", back_off, error)  # noqa: TRY400
            await asyncio.sleep(back_off)
