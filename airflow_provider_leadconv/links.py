"""Links from a task in Airflow's UI to the record in Sell's web app and to the exported file.

The task knows the connection, so it sets the URLs, and the links only read them. Airflow 3 calls a link in the worker
at the end of the task. There the URLs are on the operator itself, since reading an XCom that was not pushed logs an
error. Airflow 2 calls a link in the webserver. There the URLs are XComs. All components of Airflow import this module,
so it must load fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

SELL_KEY = "leadconv_sell_url"
FILE_KEY = "leadconv_file_url"
"""Keys of the URLs."""

_URLS = "leadconv_link_urls"
"""Attribute of an operator with the URLs that it has set."""

# Newer accounts have a Zendesk subdomain, whose paths differ.
_SECTIONS = {"lead": "leads", "contact": "crm/contacts", "deal": "sales/deals"}
_ZENDESK_SECTIONS = {"lead": "sales/leads", "contact": "sales/contacts", "deal": "sales/deals"}


class SellLink(BaseOperatorLink):
    """Link to the first lead that was not converted, or to the deal or contact that was created."""

    name = "Open in Sell"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty string if the task has set none."""
        return _read_url(operator, ti_key, SELL_KEY)


class FileLink(BaseOperatorLink):
    """Link to the results of a bulk run or the files of an export, if a browser can show them."""

    name = "Open file"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty string if the task has set none."""
        return _read_url(operator, ti_key, FILE_KEY)


def record_url(web_base_url: str, kind: str, record_id: int) -> str:
    """Return the URL of a ``lead``, ``contact`` or ``deal`` in Sell's web app."""
    on_zendesk = (urlsplit(web_base_url).hostname or "").endswith(".zendesk.com")
    section = (_ZENDESK_SECTIONS if on_zendesk else _SECTIONS)[kind]
    return f"{web_base_url.rstrip('/')}/{section}/{record_id}"


def conversion_url(web_base_url: str, conversion: Mapping[str, Any]) -> str | None:
    """Return the URL of the record created from a lead: the deal, else the person, else the organization."""
    for kind, key in (("deal", "deal_id"), ("contact", "individual_id"), ("contact", "organization_id")):
        if record_id := conversion.get(key):
            return record_url(web_base_url, kind, record_id)
    return None


def file_url(path: str | None) -> str | None:
    """Return the URL at which a browser shows an ``ObjectStoragePath``, or ``None`` if there is none."""
    if not path:
        return None
    parts = urlsplit(path)
    bucket, key = parts.netloc.rpartition("@")[2], parts.path.lstrip("/")  # without Airflow's connection id
    match parts.scheme:
        case "http" | "https":
            return parts._replace(netloc=bucket).geturl()
        case "s3" | "s3a":
            page = "buckets" if key.endswith("/") else "object"
            return f"https://s3.console.aws.amazon.com/s3/{page}/{bucket}?prefix={quote(key, safe='/')}"
        case "gs" | "gcs":
            page = "" if key.endswith("/") else "_details/"
            return f"https://console.cloud.google.com/storage/browser/{page}{bucket}/{quote(key, safe='/')}"
    return None


def set_links(
    operator: BaseOperator, context: Mapping[str, Any], *, sell: str | None = None, file: str | None = None
) -> None:
    """Set the URLs for the links of a task.

    :param operator: the operator that runs.
    :param context: context of the task; empty outside of a task.
    :param sell: URL for :class:`SellLink`.
    :param file: URL for :class:`FileLink`.
    """
    urls = {key: url for key, url in ((SELL_KEY, sell), (FILE_KEY, file)) if url}
    setattr(operator, _URLS, urls)
    if AIRFLOW_V_3_0_PLUS or "ti" not in context:
        return
    for key, url in urls.items():
        context["ti"].xcom_push(key=key, value=url)


def _read_url(operator: BaseOperator, ti_key: TaskInstanceKey, key: str) -> str:
    if AIRFLOW_V_3_0_PLUS:
        return str(getattr(operator, _URLS, {}).get(key, ""))
    return str(XCom.get_value(ti_key=ti_key, key=key) or "")
