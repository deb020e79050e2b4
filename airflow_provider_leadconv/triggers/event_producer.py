"""Event producer for one asset, whose watermark survives restarts of the triggerer. Needs Airflow 3.3 or later.

Airflow calls :meth:`ConversionProducer.advance` when an event is stored in its database. Only then the watermark moves,
so a crash repeats an event with the same ids, and loses none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, TypeVar

from airflow.providers.common.compat.sdk import conf
from airflow.sdk.exceptions import AirflowRuntimeError
from airflow.sdk.execution_time.context import AssetStateStoreAccessor
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer
from typing_extensions import override

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.changefeed import OverlapWindow
from airflow_provider_leadconv.triggers.new_conversions import BACK_OFF, by_creator, new_conversions
from airflow_provider_leadconv.waiting.event_batches import payload, window_from_json, window_to_json

log = logging.getLogger(__name__)
T = TypeVar("T")


class ConversionProducer(SharedStreamProducer):
    """Polls for one asset and stores its watermark.

    :param conn_id: id of the Airflow connection.
    :param interval: seconds between two polls.
    :param creator_id: emit only conversions by this user.
    :param asset_name: name of the asset.
    """

    def __init__(self, *, conn_id: str, interval: float, creator_id: int | None, asset_name: str) -> None:
        self._conn_id = conn_id
        self._interval = interval
        self._creator_id = creator_id
        self._watermark_store = WatermarkStore(asset_name, conn_id, creator_id)
        self._unacknowledged = 0

    @override
    async def open_stream(self) -> AsyncIterator[tuple[dict[str, Any], OverlapWindow]]:
        # Each item is the payload of an event, and the overlap window to store after Airflow has stored the event.
        window = await self._watermark_store.load()
        async with aclosing(new_conversions(self._conn_id, self._interval, window)) as batches:
            async for batch in batches:
                if conversions := by_creator(batch.conversions, self._creator_id):
                    self._unacknowledged += 1
                    yield payload(conversions), batch.window
                elif not self._unacknowledged:  # this window also covers events that are not acknowledged yet
                    await self._watermark_store.save(batch.window)

    @override
    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        for item in batch:
            if not item.outcome.is_clean:
                # Airflow restarts the producer after an error.
                raise RuntimeError(f"Airflow did not store an event ({item.outcome}); it will be emitted again")
            await self._watermark_store.save(item.broker_payload)
            self._unacknowledged -= 1


class WatermarkStore:
    """Stores an overlap window in the state store of an asset. Errors are retried until the store is available.

    :param asset_name: name of the asset.
    :param conn_id: id of the Airflow connection.
    :param creator_id: the user whose conversions are emitted; ``None``: those of all users.
    """

    def __init__(self, asset_name: str, conn_id: str, creator_id: int | None) -> None:
        self.key = f"{conn_id}/lead_conversions" + (f"?creator_id={creator_id}" if creator_id is not None else "")
        self._store = AssetStateStoreAccessor(name=asset_name)
        self._max_bytes = conf.getint("state_store", "max_value_storage_bytes")
        self._warned = False

    async def load(self) -> OverlapWindow | None:
        """Return the stored window; ``None`` if there is none yet."""
        return await self._retry_until_done(self._load)

    async def save(self, window: OverlapWindow) -> None:
        """Store a window; if it is too large for the store, without its lowest ids."""
        value = window_to_json(window, self._max_bytes)
        if value != window_to_json(window) and not self._warned:
            self._warned = True
            log.warning(
                "The watermark %s is larger than %d bytes. No conversion is lost, but after a restart of the triggerer "
                "some are emitted again. Raise [state_store] max_value_storage_bytes, or lower settle_time of the "
                "connection",
                self.key,
                self._max_bytes,
            )
        await self._retry_until_done(partial(self._save, value))

    async def _retry_until_done(self, action: Callable[[], Awaitable[T]]) -> T:
        """Retry without a limit: to continue without the watermark would lose conversions."""
        while True:
            try:
                return await action()
            except (AirflowRuntimeError, InvalidRequestError) as error:
                log.error("Could not access the watermark %s; trying again in %.0f s: %s", self.key, BACK_OFF, error)  # noqa: TRY400
                await asyncio.sleep(BACK_OFF)

    async def _load(self) -> OverlapWindow | None:
        if hasattr(self._store, "aget"):
            stored = await self._store.aget(self.key)
        else:  # Airflow 3.3.0 and 3.3.1
            stored = await asyncio.to_thread(self._store.get, self.key)
        return None if stored is None else window_from_json(stored)

    async def _save(self, value: Any) -> None:
        if hasattr(self._store, "aset"):
            await self._store.aset(self.key, value)
        else:
            await asyncio.to_thread(self._store.set, self.key, value)
