"""The lead conversions of a Sell account as an asset: ``leadconv://<account>/lead_conversions``.

Every account of Sell is at the same host, so the URI names the account: by the ``account`` in the extra of the
connection, which is the id of the connection unless it is set.
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
) -> Asset:
    """Make the asset with a watcher, so that a DAG scheduled by it starts when leads are converted. Airflow 3.0+.

    :param leadconv_conn_id: id of an Airflow connection of type ``leadconv``.
    :param account: the ``account`` of that connection. Default: the id of the connection.
    :param poll_interval: seconds between two polls.
    :param creator_id: only conversions this user made, which makes an asset of its own.
    """
    from airflow.sdk import AssetWatcher

    from airflow_provider_leadconv.triggers.events import LeadConversionEventTrigger

    uri = asset_uri(account or leadconv_conn_id, creator_id)
    trigger = LeadConversionEventTrigger(
        leadconv_conn_id=leadconv_conn_id, poll_interval=poll_interval, creator_id=creator_id, asset_name=uri
    )
    return Asset(name=uri, uri=uri, watchers=[AssetWatcher(name=uri, trigger=trigger)])


def asset_uri(account: str, creator_id: int | None = None) -> str:
    """:return: the URI of an account's lead conversions, or of those that one user made."""
    return f"{SCHEME}://{account}{_PATH}" + (f"?creator_id={creator_id}" if creator_id is not None else "")


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Check a URI.

    :raises ValueError: if it is not ``leadconv://<account>/lead_conversions``, with or without ``?creator_id=<id>``.
    """
    creator_ids = parse_qs(uri.query, keep_blank_values=True)
    narrowed = not creator_ids or (creator_ids.keys() == {"creator_id"} and creator_ids["creator_id"][0].isdecimal())
    if not uri.netloc or uri.path != _PATH or not narrowed:
        raise ValueError(
            f"URI must be {SCHEME}://<account>{_PATH} or {SCHEME}://<account>{_PATH}?creator_id=<id>, "
            f"got {uri.geturl()!r}"
        )
    return uri


def create_asset(*, account: str, creator_id: int | None = None, extra: Mapping[str, Any] | None = None) -> Asset:
    """:return: the asset of an account, as lineage collectors make it; without a watcher."""
    uri = asset_uri(account, creator_id)
    return Asset(uri=uri, extra=dict(extra or {}))
