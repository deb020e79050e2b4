"""The lead conversions of a Sell account as an asset: ``leadconv://<account>/lead_conversions``.

All Sell accounts have the same API host, so the URI contains the account instead: the ``account`` in the extra of the
connection, by default the connection id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qs

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_leadconv.hooks.leadconv import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEME = "leadconv"
_PATH = "/lead_conversions"


def lead_conversions_asset(
    *,
    leadconv_conn_id: str = DEFAULT_CONN_ID,
    account: str | None = None,
    poll_interval: float = 60.0,
    creator_id: int | None = None,
    queue: str | None = None,
) -> Asset:
    """Return the asset with a watcher that starts DAGs when leads are converted. Needs Airflow 3.0 or later.

    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :param account: the ``account`` of that connection; default: the connection id.
    :param poll_interval: seconds between two polls.
    :param creator_id: only conversions by this user; this is a separate asset.
    :param queue: watch only in triggerers of this queue. Needs Airflow 3.4 or later, and the setting
        ``[triggerer] queues_enabled``.
    :raises ValueError: if ``queue`` is given to an earlier Airflow, which would ignore it.
    """
    from airflow.sdk import AssetWatcher

    from airflow_provider_leadconv.triggers.asset_events import LeadConversionEventTrigger

    uri = asset_uri(account or leadconv_conn_id, creator_id)
    trigger = LeadConversionEventTrigger(
        leadconv_conn_id=leadconv_conn_id,
        poll_interval=poll_interval,
        creator_id=creator_id,
        asset_name=uri,
        queue=queue,
    )
    return Asset(name=uri, uri=uri, watchers=[AssetWatcher(name=uri, trigger=trigger)])


def asset_uri(account: str, creator_id: int | None = None) -> str:
    """Return the URI of an account's lead conversions, optionally only of those by one user."""
    return f"{SCHEME}://{account}{_PATH}" + (f"?creator_id={creator_id}" if creator_id is not None else "")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Validate the URI of an asset. Airflow calls this for the scheme ``leadconv``.

    :param uri: the parsed URI.
    :return: the URI, unchanged.
    :raises ValueError: if it is not ``leadconv://<account>/lead_conversions``, with or without ``?creator_id=<id>``.
    """
    query = parse_qs(uri.query, keep_blank_values=True)
    is_query_valid = not query or (query.keys() == {"creator_id"} and query["creator_id"][0].isdecimal())
    if not uri.netloc or uri.path != _PATH or not is_query_valid:
        raise ValueError(
            f"URI must be {SCHEME}://<account>{_PATH} or {SCHEME}://<account>{_PATH}?creator_id=<id>, "
            f"got {uri.geturl()!r}"
        )
    return uri


def create_asset(*, account: str, creator_id: int | None = None, extra: Mapping[str, Any] | None = None) -> Asset:
    """Return the asset of an account without a watcher, as lineage collectors need it."""
    uri = asset_uri(account, creator_id)
    return Asset(uri=uri, extra=dict(extra or {}))
