"""Start when leads are converted, whoever converts them, and post the new deals to webhooks. Airflow 3.0+.

It watches the connection ``leadconv_default``. Set the Airflow variable ``deals_webhook`` to the URL that gets each
deal, and ``digest_webhook`` to the URL that gets all new deals in one list. Without them the deals are only returned.

``leadconv_on_conversions`` has one run for each event, at once. ``leadconv_conversions_digest`` has one run at a time,
with all events that arrived since the previous run. It needs Airflow 3.4.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Variable, task

from airflow_provider_leadconv.assets import lead_conversions_asset

try:
    from airflow.sdk import AssetTriggeredTimetable  # type: ignore[attr-defined]  # Airflow 3.4
except ImportError:
    AssetTriggeredTimetable = None

conversions = lead_conversions_asset(poll_interval=30)


def new_deals(events: Any) -> dict[int, dict[str, Any]]:
    """Return the deals by id: a run may get several events, and after a crash an event may come again."""
    return {
        conversion["deal_id"]: conversion
        for event in events[conversions]
        for conversion in event.extra["payload"]["conversions"]
        if conversion["deal_id"]
    }


def post(variable: str, body: Any) -> None:
    """Post JSON to the URL in an Airflow variable, if it is set."""
    import requests

    if webhook := Variable.get(variable, default=None):
        requests.post(webhook, json=body, timeout=30).raise_for_status()


with DAG(dag_id="leadconv_on_conversions", schedule=[conversions], doc_md=__doc__):

    @task(inlets=[conversions])
    def post_deals(*, triggering_asset_events: Any = None) -> list[int]:
        """Post each deal."""
        deals = new_deals(triggering_asset_events)
        for deal in deals.values():
            post("deals_webhook", deal)
        return sorted(deals)

    post_deals()

if AssetTriggeredTimetable is not None:
    batched = AssetTriggeredTimetable(assets=conversions, batch_asset_events=True)

    with DAG(dag_id="leadconv_conversions_digest", schedule=batched, max_active_runs=1, doc_md=__doc__):

        @task(inlets=[conversions])
        def post_digest(*, triggering_asset_events: Any = None) -> list[int]:
            """Post all deals at once."""
            deals = new_deals(triggering_asset_events)
            post("digest_webhook", list(deals.values()))
            return sorted(deals)

        post_digest()
