"""The connection form and the fields of the extra: plain data for Airflow's UI, the hook and the documentation."""

from __future__ import annotations

from typing import Any

CONN_TYPE = "leadconv"
HOOK_NAME = "Lead Conversions (Zendesk Sell)"
HOOK_CLASS = "airflow_provider_leadconv.hooks.leadconv.LeadConversionHook"


def _field(label: str, description: str, kind: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": [kind, "null"], **schema}}


EXTRA_FIELDS: dict[str, dict[str, Any]] = {
    "requests_per_second": _field(
        "Requests per second",
        "Never send faster than this, all processes of a host together. The API allows 10 for each token, shared by "
        "all who use it. Default 10.",
        "number",
        exclusiveMinimum=0,
    ),
    "rate_limit_scope": _field(
        "Scope of the rate limit",
        "host or process: whether the processes of a user on a host send at this rate together, or each alone. "
        "Containers share nothing. Default host.",
        "string",
    ),
    "timeout": _field(
        "Timeout (s)",
        "How long one attempt may take, from connecting to the last byte. Default 30.",
        "number",
        exclusiveMinimum=0,
    ),
    "retry_timeout": _field(
        "Retry timeout (s)",
        "How long all attempts of one request may take together. Default 300.",
        "number",
        exclusiveMinimum=0,
    ),
    "settle_time": _field(
        "Settle time (s)",
        "How late a conversion may become visible. A request without a response is judged this long after its timeout. "
        "Default 30.",
        "number",
        minimum=0,
    ),
    "verify": _field(
        "Verify TLS certificates",
        "true, false, or the path of a CA file on the workers. Default true.",
        "string",
    ),
    "proxy": _field("Proxy", "URL of an HTTP proxy. Default: what the environment says.", "string", format="password"),
    "allow_http": _field(
        "Allow plain http",
        "Send the token unencrypted to a host that is not this machine. Default false.",
        "boolean",
    ),
    "check_count": _field(
        "Check the count of pages",
        "Refuse a page whose count is neither the number of its items nor a total. Default true.",
        "boolean",
    ),
    "account": _field(
        "Account", "Name of this Sell account in assets and lineage. Default: the connection id.", "string"
    ),
    "web_base_url": _field(
        "Web app URL",
        "Where Sell's web app shows this account, for links. Default https://app.futuresimple.com",
        "string",
    ),
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login"],
    "relabeling": {
        "password": "Access token",
        "host": "Base URL",
        "port": "Port, if not in the URL",
        "schema": "Scheme, if not in the URL",
    },
    "placeholders": {
        "password": "Sell > Settings > Integrations > OAuth > Access Tokens",
        "host": "https://api.getbase.com",
        "schema": "https",
        "port": "443",
    },
}
