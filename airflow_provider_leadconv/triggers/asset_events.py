"""The trigger of an ``AssetWatcher``, which starts DAGs when leads are converted. Needs Airflow 3.0 or later.

With Airflow 3.3 or later, its watermark is stored in the state store of the asset; see
:mod:`~airflow_provider_leadconv.triggers.event_producer`. With earlier versions, only conversions after the start of
the triggerer are new.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.triggers.base import TriggerEvent
from typing_extensions import override

from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID
from airflow_provider_leadconv.triggers.new_conversions import by_creator, new_conversions
from airflow_provider_leadconv.waiting.event_batches import payload

if TYPE_CHECKING:
    from airflow_provider_leadconv.triggers.event_producer import ConversionProducer

_HAS_QUEUE = hasattr(BaseEventTrigger, "queue")
"""Whether an event trigger can be assigned to a queue of triggerers: Airflow 3.4 or later."""


class LeadConversionEventTrigger(BaseEventTrigger):
    """Emit events for new conversions by any user or client: one event per poll, with at most 300 rows.

    The payload has ``min_id``, ``max_id``, ``count`` and ``conversions``, oldest first. After a crash, an event may be
    emitted again with the same ids. The trigger never ends: errors are logged, and the poll is retried until Sell is
    retired.

    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :param poll_interval: seconds between two polls, which all triggers for the same connection share.
    :param creator_id: emit only conversions by this user.
    :param asset_name: name of the watched asset, whose state store has the watermark; ``None``: no watermark is stored.
        :func:`~airflow_provider_leadconv.assets.lead_conversions_asset` sets it.
    :param queue: run only in triggerers that were started with this one of their ``--queues``. Needs Airflow 3.4 or
        later, and the setting ``[triggerer] queues_enabled``.
    :raises ValueError: if ``queue`` is given to an earlier Airflow, which would ignore it.
    """

    def __init__(
        self,
        *,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 60.0,
        creator_id: int | None = None,
        asset_name: str | None = None,
        queue: str | None = None,
    ) -> None:
        if queue is not None and not _HAS_QUEUE:
            raise ValueError(f"queue={queue!r} needs Airflow 3.4 or later; without it, any triggerer runs the trigger")
        # Airflow keeps the queue beside the arguments, so it is not serialized with them.
        super().__init__(**({"queue": queue} if _HAS_QUEUE else {}))  # type: ignore[no-untyped-call]
        self.leadconv_conn_id = leadconv_conn_id
        self.poll_interval = poll_interval
        self.creator_id = creator_id
        self.asset_name = asset_name

    @override
    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "leadconv_conn_id": self.leadconv_conn_id,
            "poll_interval": self.poll_interval,
            "creator_id": self.creator_id,
            "asset_name": self.asset_name,
        }

    @override
    async def run(self) -> AsyncIterator[TriggerEvent]:
        async with aclosing(new_conversions(self.leadconv_conn_id, self.poll_interval, None)) as batches:
            async for batch in batches:
                if conversions := by_creator(batch.conversions, self.creator_id):
                    yield TriggerEvent(payload(conversions))  # type: ignore[no-untyped-call]

    def shared_stream_key(self) -> Hashable | None:
        """Return the key of the producer, one per asset; ``None`` if no watermark is stored. Used by Airflow 3.3+."""
        if self.asset_name is None:
            return None
        return type(self).__qualname__, self.leadconv_conn_id, self.asset_name, self.creator_id

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> ConversionProducer:
        """Return the producer, which polls and stores the watermark. Used by Airflow 3.3+."""
        from airflow_provider_leadconv.triggers.event_producer import ConversionProducer

        trigger = cls(**kwargs)
        return ConversionProducer(
            conn_id=trigger.leadconv_conn_id,
            interval=trigger.poll_interval,
            creator_id=trigger.creator_id,
            asset_name=str(trigger.asset_name),
        )

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each payload of the producer. Used by Airflow 3.3+."""
        async for event in shared_stream:
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]
