"""The provider metadata for Airflow. All of its processes load it, so it is plain data without imports of Airflow."""

from __future__ import annotations

from typing import Any

from airflow_provider_leadconv import __version__
from airflow_provider_leadconv.hooks.connection_form import (
    CONN_TYPE,
    EXTRA_FIELDS,
    HOOK_CLASS,
    HOOK_NAME,
    UI_FIELD_BEHAVIOUR,
)

_PACKAGE = "airflow_provider_leadconv"
_INTEGRATION = "Lead Conversions (Zendesk Sell)"
_ASSET_URIS = [
    {
        "schemes": ["leadconv"],
        "handler": f"{_PACKAGE}.assets.sanitize_uri",
        "factory": f"{_PACKAGE}.assets.create_asset",
        "to_openlineage_converter": f"{_PACKAGE}.lineage.to_dataset",
    }
]


def get_provider_info() -> dict[str, Any]:
    """Return the provider metadata according to Airflow's provider info schema."""
    return {
        "package-name": "airflow-provider-leadconv",
        "name": _INTEGRATION,
        "description": "Convert leads in bulk, export conversions, and wait for them, with the Zendesk Sell API.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://developer.zendesk.com/api-reference/sales-crm/resources/lead-conversions/",
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks.leadconv")],
        "operators": [_modules("operators.bulk", "operators.export")],
        "sensors": [_modules("sensors.leadconv")],
        "transfers": [
            {
                "source-integration-name": _INTEGRATION,
                "target-integration-name": "Common SQL",
                "python-module": f"{_PACKAGE}.transfers.leadconv_to_sql",
            }
        ],
        "triggers": [_modules("triggers.leadconv", "triggers.asset_events")],
        "retry-policies": [_modules("retry_policy")],
        "extra-links": [f"{_PACKAGE}.links.SellLink", f"{_PACKAGE}.links.FileLink"],
        "asset-uris": _ASSET_URIS,
        "dataset-uris": _ASSET_URIS,  # Airflow 2
        "connection-types": [
            {
                "connection-type": CONN_TYPE,
                "hook-class-name": HOOK_CLASS,
                "hook-name": HOOK_NAME,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
                "conn-fields": EXTRA_FIELDS,
            }
        ],
    }


def _modules(*names: str) -> dict[str, Any]:
    return {"integration-name": _INTEGRATION, "python-modules": [f"{_PACKAGE}.{name}" for name in names]}
