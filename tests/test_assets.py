"""The asset of an account's conversions, as Airflow reads it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from airflow_provider_leadconv.assets import asset_uri, create_asset, lead_conversions_asset, sanitize_uri
from airflow_provider_leadconv.get_provider_info import get_provider_info
from airflow_provider_leadconv.triggers.asset_events import LeadConversionEventTrigger
from tests.support.capabilities import AIRFLOW, needs_asset_watchers, needs_queue


@needs_asset_watchers
def test_the_asset_watches_under_its_own_name():
    asset = lead_conversions_asset(leadconv_conn_id="sell_emea", poll_interval=30)
    assert (asset.name, asset.uri) == ("leadconv://sell_emea/lead_conversions",) * 2
    (watcher,) = asset.watchers
    assert isinstance(watcher.trigger, LeadConversionEventTrigger)
    assert watcher.trigger.serialize()[1] == {
        "leadconv_conn_id": "sell_emea",
        "poll_interval": 30,
        "creator_id": None,
        "asset_name": asset.name,
    }


@needs_queue
def test_the_watcher_is_in_the_queue():
    (watcher,) = lead_conversions_asset(queue="sell").watchers
    assert watcher.trigger.queue == "sell"


@needs_asset_watchers
def test_account_and_creator_make_assets_of_their_own():
    uris = {
        lead_conversions_asset().uri,
        lead_conversions_asset(account="emea").uri,
        lead_conversions_asset(account="emea", creator_id=7).uri,
    }
    assert uris == {asset_uri("leadconv_default"), asset_uri("emea"), asset_uri("emea", 7)}


@pytest.mark.parametrize("uri", [asset_uri("emea"), asset_uri("emea", 7), asset_uri("leadconv_default")])
def test_good_uris_pass(uri: str):
    assert sanitize_uri(urlsplit(uri)).geturl() == uri


@pytest.mark.parametrize(
    "uri",
    [
        "leadconv:///lead_conversions",
        "leadconv://emea/leads",
        "leadconv://emea/",
        "leadconv://emea/lead_conversions?lead_id=7",
        "leadconv://emea/lead_conversions?creator_id=me",
    ],
)
def test_other_uris_are_refused(uri: str):
    with pytest.raises(ValueError, match="URI must be leadconv://<account>/lead_conversions"):
        sanitize_uri(urlsplit(uri))


def test_the_factory_makes_the_same_asset():
    asset = create_asset(account="emea", extra={"team": "sales"})
    assert asset.uri == asset_uri("emea")
    assert asset.extra == {"team": "sales"}


@pytest.mark.airflow
def test_airflow_finds_them():
    if AIRFLOW >= (3, 2):
        from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime as ProvidersManager
    else:
        from airflow.providers_manager import ProvidersManager

    manager, kind = ProvidersManager(), "asset" if AIRFLOW >= (3, 0) else "dataset"
    assert getattr(manager, f"{kind}_uri_handlers")["leadconv"] is sanitize_uri
    assert getattr(manager, f"{kind}_factories")["leadconv"] is create_asset
    assert get_provider_info()["asset-uris"] == get_provider_info()["dataset-uris"]
