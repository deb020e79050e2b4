"""What starts DAGs when leads are converted: the trigger of an ``AssetWatcher``, from Airflow 3.0 on.

From Airflow 3.3 on it remembers what it told, in the state store of the asset; see
:mod:`~airflow_provider_leadconv.triggers.event_producer`. Before, it starts from now whenever the triggerer does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.triggers import BaseEventTrigger
from airflow.triggers.base import TriggerEvent

from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID
from airflow_provider_leadconv.jobs.news import payload
from airflow_provider_leadconv.triggers.new_conversions import new_conversions, of_creator

if TYPE_CHECKING:
    from airflow_provider_leadconv.triggers.event_producer import ConversionProducer


class LeadConversionEventTrigger(BaseEventTrigger):
    """Tell of new conversions, whoever made them: one event a poll, at most 300 rows an event.

    The payload has ``min_id``, ``max_id``, ``count`` and ``conversions``, oldest first. After a crash an event may come
    again; its ids tell. It never ends: whatever fails is logged and tried again.

    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :param poll_interval: seconds between two polls; those who wait on the same connection in the triggerer share them.
    :param creator_id: tell only of conversions this user made.
    :param asset_name: name of the asset that is watched, whose state store keeps the mark. ``None``: none is kept.
        :func:`~airflow_provider_leadconv.assets.lead_conversions_asset` sets it.
    """

    def __init__(
        self,
        *,
        leadconv_conn_id: str = DEFAULT_CONN_ID,
        poll_interval: float = 60.0,
        creator_id: int | None = None,
        asset_name: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.leadconv_conn_id = leadconv_conn_id
        self.poll_interval = poll_interval
        self.creator_id = creator_id
        self.asset_name = asset_name

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """:return: the path of this class and what makes it anew."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            "leadconv_conn_id": self.leadconv_conn_id,
            "poll_interval": self.poll_interval,
            "creator_id": self.creator_id,
            "asset_name": self.asset_name,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for each portion of what is new from now on."""
        async with aclosing(new_conversions(self.leadconv_conn_id, self.poll_interval, None)) as news:
            async for portion in news:
                if conversions := of_creator(portion.conversions, self.creator_id):
                    yield TriggerEvent(payload(conversions))  # type: ignore[no-untyped-call]

    def shared_stream_key(self) -> Hashable | None:
        """:return: what each asset has a producer of its own for, and so a mark; ``None`` if no mark can be kept."""
        if self.asset_name is None:
            return None
        return type(self).__qualname__, self.leadconv_conn_id, self.asset_name, self.creator_id

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> ConversionProducer:
        """:return: what polls and keeps the mark; called by Airflow 3.3 and later."""
        from airflow_provider_leadconv.triggers.event_producer import ConversionProducer

        trigger = cls(**kwargs)
        return ConversionProducer(
            conn_id=trigger.leadconv_conn_id,
            interval=trigger.poll_interval,
            creator_id=trigger.creator_id,
            asset_name=str(trigger.asset_name),
        )

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Make an event of each payload of the producer."""
        async for event in shared_stream:
            yield TriggerEvent(event)  # type: ignore[no-untyped-call]
