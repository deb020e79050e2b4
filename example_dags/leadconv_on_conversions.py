"""Start when leads are converted, whoever converts them, and post the deals that were made onward. Airflow 3.0+.

It watches the connection ``leadconv_default``. Set the Airflow variable ``deals_webhook`` to the URL that shall get
each deal; without it the deals are only returned.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Variable, task

from airflow_provider_leadconv.assets import lead_conversions_asset

conversions = lead_conversions_asset(poll_interval=30)

with DAG(dag_id="leadconv_on_conversions", schedule=[conversions], doc_md=__doc__):

    @task(inlets=[conversions])
    def post_deals(*, triggering_asset_events: Any = None) -> list[int]:
        """Post each deal once: a run may get several events, and after a crash an event may come again."""
        import requests

        deals = {
            conversion["deal_id"]: conversion
            for event in triggering_asset_events[conversions]
            for conversion in event.extra["payload"]["conversions"]
            if conversion["deal_id"]
        }
        webhook = Variable.get("deals_webhook", default=None)
        for conversion in deals.values() if webhook else ():
            requests.post(webhook, json=conversion, timeout=30).raise_for_status()
        return sorted(deals)

    post_deals()
