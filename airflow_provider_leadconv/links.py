"""From a task in Airflow's UI to the record in Sell's web app and to the file. Light: Airflow imports it everywhere.

A task tells its URLs as XComs while it has the connection at hand; a link only reads them. Airflow 3 does that in the
worker when the task ends, Airflow 2 in the webserver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey

SELL_KEY = "leadconv_sell_url"
FILE_KEY = "leadconv_file_url"
"""XCom keys of the URLs."""

# The newer address of an account is its Zendesk subdomain; there the sections are grouped.
_SECTIONS = {"lead": "leads", "contact": "crm/contacts", "deal": "sales/deals"}
_SECTIONS_OF_ZENDESK = {"lead": "sales/leads", "contact": "sales/contacts", "deal": "sales/deals"}


class SellLink(BaseOperatorLink):
    """To what a person should look at: the first lead that was not converted, or the deal or contact that was made."""

    name = "Open in Sell"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """:return: the URL, or an empty string if the task told none."""
        return str(XCom.get_value(ti_key=ti_key, key=SELL_KEY) or "")


class FileLink(BaseOperatorLink):
    """To the results of a bulk or the files of an export, if they are where a browser can see them."""

    name = "Open file"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """:return: the URL, or an empty string if the task told none."""
        return str(XCom.get_value(ti_key=ti_key, key=FILE_KEY) or "")


def record_url(web_base_url: str, kind: str, record_id: int) -> str:
    """:return: where Sell's web app shows a ``lead``, ``contact`` or ``deal``."""
    on_zendesk = (urlsplit(web_base_url).hostname or "").endswith(".zendesk.com")
    section = (_SECTIONS_OF_ZENDESK if on_zendesk else _SECTIONS)[kind]
    return f"{web_base_url.rstrip('/')}/{section}/{record_id}"


def conversion_url(web_base_url: str, conversion: Mapping[str, Any]) -> str | None:
    """:return: where Sell shows what a lead became: the deal, else the person, else the organization."""
    for kind, key in (("deal", "deal_id"), ("contact", "individual_id"), ("contact", "organization_id")):
        if record_id := conversion.get(key):
            return record_url(web_base_url, kind, record_id)
    return None


def file_url(path: str | None) -> str | None:
    """:return: where a browser shows a path of ``ObjectStoragePath``, or ``None`` if no place is known."""
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


def tell_links(context: Mapping[str, Any], *, sell: str | None = None, file: str | None = None) -> None:
    """Keep URLs for the links of a task.

    :param context: the task's; nothing is kept if it is empty.
    :param sell: for :class:`SellLink`.
    :param file: for :class:`FileLink`.
    """
    task_instance = context.get("ti")
    if task_instance is None:
        return
    for key, url in ((SELL_KEY, sell), (FILE_KEY, file)):
        if url:
            task_instance.xcom_push(key=key, value=url)
