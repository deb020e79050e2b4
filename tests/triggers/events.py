"""Event triggers and what they tell."""

from __future__ import annotations

from typing import Any

from airflow_provider_leadconv.triggers.events import LeadConversionEventTrigger


def told(events: list[dict[str, Any]]) -> list[int]:
    return [conversion["lead_id"] for event in events for conversion in event["conversions"]]


def watching(**arguments: Any) -> LeadConversionEventTrigger:
    return LeadConversionEventTrigger(**{"asset_name": "sell", **arguments})
