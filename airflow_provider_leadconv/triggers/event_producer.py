"""New conversions for one asset, with a mark that outlives the triggerer. Needs Airflow 3.3.

Airflow tells through :meth:`ConversionProducer.advance` that an event is in its database. Only then the mark moves, so
a crash repeats an event, recognisable by its ids, and loses none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.context import AssetStateStoreAccessor
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_provider_leadconv.api.errors import InvalidRequestError
from airflow_provider_leadconv.jobs.feed import Window
from airflow_provider_leadconv.jobs.news import payload, read_window, write_window
from airflow_provider_leadconv.triggers.new_conversions import BACK_OFF, new_conversions, of_creator

log = logging.getLogger(__name__)
T = TypeVar("T")


class ConversionProducer(SharedStreamProducer):
    """Polls for one asset and keeps its mark.

    :param conn_id: id of the Airflow connection.
    :param interval: seconds between two polls.
    :param creator_id: tell only of conversions this user made.
    :param asset_name: name of the asset.
    """

    def __init__(self, *, conn_id: str, interval: float, creator_id: int | None, asset_name: str) -> None:
        self._conn_id = conn_id
        self._interval = interval
        self._creator_id = creator_id
        self._mark = Mark(asset_name, conn_id, creator_id)
        self._untold = 0

    async def open_stream(self) -> AsyncIterator[tuple[dict[str, Any], Window]]:
        """Yield the payload of each event, and the window that is true once it is stored."""
        window = await self._mark.load()
        async with aclosing(new_conversions(self._conn_id, self._interval, window)) as news:
            async for portion in news:
                if conversions := of_creator(portion.conversions, self._creator_id):
                    self._untold += 1
                    yield payload(conversions), portion.window
                elif not self._untold:  # or it would vouch for an event that may not be stored
                    await self._mark.save(portion.window)

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """Move the mark behind events that are stored.

        :raises RuntimeError: if one is not. Airflow starts anew then, and the event comes again.
        """
        for item in batch:
            if not item.outcome.is_clean:
                raise RuntimeError(f"an event was not stored ({item.outcome}); it will be told again")
            await self._mark.save(item.broker_payload)
            self._untold -= 1


class Mark:
    """A window in the state store of an asset.

    :param asset_name: name of the asset.
    :param conn_id: id of the Airflow connection.
    :param creator_id: the user whose conversions are told of, if not everybody's.
    """

    def __init__(self, asset_name: str, conn_id: str, creator_id: int | None) -> None:
        self.key = f"{conn_id}/lead_conversions" + (f"?creator_id={creator_id}" if creator_id is not None else "")
        self._store = AssetStateStoreAccessor(name=asset_name)

    async def load(self) -> Window | None:
        """Read the window.

        :return: the window; ``None`` if there is none yet.
        """
        return await self._until_it_works(self._load)

    async def save(self, window: Window) -> None:
        """Write the window."""
        await self._until_it_works(partial(self._set, write_window(window)))

    async def _until_it_works(self, act: Callable[[], Awaitable[T]]) -> T:
        """Wait as long as it takes: to start from now instead would lose what lies between."""
        while True:
            try:
                return await act()
            except (AirflowRuntimeError, InvalidRequestError) as error:
                log.error("the mark %s is out of reach, next try in %.0f s: %s", self.key, BACK_OFF, error)  # noqa: TRY400
                await asyncio.sleep(BACK_OFF)

    async def _load(self) -> Window | None:
        if hasattr(self._store, "aget"):
            stored = await self._store.aget(self.key)
        else:  # Airflow 3.3.0 and 3.3.1
            stored = await asyncio.to_thread(self._store.get, self.key)
        return None if stored is None else read_window(stored)

    async def _set(self, value: Any) -> None:
        if hasattr(self._store, "aset"):
            await self._store.aset(self.key, value)
        else:
            await asyncio.to_thread(self._store.set, self.key, value)
