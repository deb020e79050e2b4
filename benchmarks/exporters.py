"""Who exports: the bare floor, we, and what a user would pick instead.

Each function imports what it needs, so that imports can be measured apart, and returns what exports all conversions of
a server into a folder. The others are written as their documentation has it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Export = Callable[[str, Path], Path]
"""Base URL, folder -> the file or folder written."""

TOKEN = "benchmark"
PATH = "/v2/lead_conversions"
_HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json"}
_PAGE = {"per_page": 200}


def socket_only() -> Export:
    """The server's speed of light: reads one page after the other and looks only for the link."""
    from benchmarks.raw_http import pages

    def export(base_url: str, folder: Path) -> Path:
        size = sum(len(body) for body in pages(base_url))
        path = folder / "size"
        path.write_text(str(size))
        return path

    return export


def floor() -> Export:
    """The least that an export in Python can do: no check, no retry, no pace."""
    import orjson

    from benchmarks.raw_http import pages

    def export(base_url: str, folder: Path) -> Path:
        path = folder / "out.jsonl"
        with path.open("wb") as file:
            for body in pages(base_url):
                file.writelines(orjson.dumps(item["data"]) + b"\n" for item in orjson.loads(body)["items"])
        return path

    return export


def _ours(name: str) -> Export:
    from airflow_provider_leadconv.operators.export import LeadConversionExportOperator

    _as_in_a_task()
    # What a task imports when it first runs counts as import too, as it does for the others.
    from airflow.providers.common.compat.sdk import ObjectStoragePath  # noqa: F401  # isort: skip
    from airflow_provider_leadconv.api import client  # noqa: F401
    from airflow_provider_leadconv.export import file as _  # noqa: F401

    if name.endswith("parquet"):
        from pyarrow import parquet  # noqa: F401

    def export(base_url: str, folder: Path) -> Path:
        connection = {"conn_type": "leadconv", "host": base_url, "password": TOKEN, "extra": _rate()}
        os.environ["AIRFLOW_CONN_LEADCONV_DEFAULT"] = json.dumps(connection)
        path = folder / name
        LeadConversionExportOperator(task_id="export", path=str(path)).execute({})
        return path

    return export


def _as_in_a_task() -> None:
    """A task's process has loaded what Airflow needs to look up a connection."""
    import_module("airflow.sdk.execution_time.supervisor")


def _rate() -> dict[str, float]:
    """The server has no limit unless the benchmark says so."""
    return {"requests_per_second": float(os.environ.get("BENCH_REQUESTS_PER_SECOND", "1000000"))}


def ours_jsonl() -> Export:
    return _ours("out.jsonl")


def ours_gzip() -> Export:
    return _ours("out.jsonl.gz")


def ours_parquet() -> Export:
    return _ours("out.parquet")


def requests_loop() -> Export:
    """What most people write, done well: one session, the largest pages, the cursor."""
    import requests

    def export(base_url: str, folder: Path) -> Path:
        path = folder / "out.jsonl"
        session = requests.Session()
        session.headers.update(_HEADERS)
        url, query = base_url + PATH, dict(_PAGE)
        with path.open("w") as file:
            while url:
                response = session.get(url, params=query, timeout=30)
                response.raise_for_status()
                page = response.json()
                for item in page["items"]:
                    file.write(json.dumps(item["data"]) + "\n")
                url, query = page["meta"]["links"].get("next_page"), {}
        return path

    return export


def http_operator() -> Export:
    """It hands all answers over at the end; the filter writes them, as they are too large for an XCom."""
    from airflow.providers.http.operators.http import HttpOperator

    _as_in_a_task()

    def next_page(response: Any) -> dict[str, Any] | None:
        link = response.json()["meta"]["links"].get("next_page")
        return {"data": parse_qs(urlsplit(link).query)} if link else None

    def export(base_url: str, folder: Path) -> Path:
        os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps({"conn_type": "http", "host": base_url})
        path = folder / "out.jsonl"

        def write(responses: list[Any]) -> str:
            with path.open("w") as file:
                for response in responses:
                    for item in response.json()["items"]:
                        file.write(json.dumps(item["data"]) + "\n")
            return str(path)

        HttpOperator(
            task_id="export",
            method="GET",
            endpoint=PATH,
            headers=_HEADERS,
            data=dict(_PAGE),
            pagination_function=next_page,
            response_filter=write,
        ).execute({})
        return path

    return export


def dlt_client() -> Export:
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    def export(base_url: str, folder: Path) -> Path:
        path = folder / "out.jsonl"
        client = RESTClient(
            base_url=base_url,
            auth=BearerTokenAuth(TOKEN),
            paginator=JSONLinkPaginator("meta.links.next_page"),
            data_selector="items",
        )
        with path.open("w") as file:
            for page in client.paginate(PATH, params=dict(_PAGE)):
                for item in page:
                    file.write(json.dumps(item["data"]) + "\n")
        return path

    return export


def dlt_source() -> Export:
    """A whole pipeline of dlt: extract, normalize, load into files of JSONL."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    from dlt.sources.rest_api import rest_api_source

    def export(base_url: str, folder: Path) -> Path:
        os.environ["DATA_WRITER__DISABLE_COMPRESSION"] = "true"
        source = rest_api_source(
            {
                "client": {
                    "base_url": base_url,
                    "auth": {"type": "bearer", "token": TOKEN},
                    "paginator": {"type": "json_link", "next_url_path": "meta.links.next_page"},
                },
                "resources": [
                    {
                        "name": "lead_conversions",
                        "endpoint": {"path": PATH, "params": dict(_PAGE), "data_selector": "items[*].data"},
                    }
                ],
            }
        )
        pipeline = dlt.pipeline(
            "benchmark",
            pipelines_dir=str(folder / "pipelines"),
            destination=dlt.destinations.filesystem(bucket_url=(folder / "out").as_uri()),
            dataset_name="export",
        )
        pipeline.run(source, loader_file_format="jsonl")
        return folder / "out" / "export" / "lead_conversions"

    return export


def singer() -> Export:
    """A tap; its messages go to standard output, which is a file."""
    from singer_sdk import RESTStream, Tap
    from singer_sdk import typing as th
    from singer_sdk.pagination import BaseHATEOASPaginator

    ids = ("id", "lead_id", "individual_id", "organization_id", "deal_id", "creator_id")

    class Links(BaseHATEOASPaginator):
        def get_next_url(self, response: Any) -> str | None:
            return response.json()["meta"]["links"].get("next_page")

    class Conversions(RESTStream[Any]):
        name = "lead_conversions"
        path = PATH
        primary_keys = ("id",)
        records_jsonpath = "$.items[*].data"
        schema = th.PropertiesList(
            *(th.Property(name, th.IntegerType) for name in ids), th.Property("created_at", th.DateTimeType)
        ).to_dict()

        @property
        def url_base(self) -> str:
            return str(self.config["base_url"])

        @property
        def http_headers(self) -> dict[str, str]:
            return dict(_HEADERS)

        def get_url_params(self, context: Any, next_page_token: Any) -> dict[str, Any]:  # noqa: ARG002
            return parse_qs(next_page_token.query) if next_page_token else dict(_PAGE)

        def get_new_paginator(self) -> Any:
            return Links()

    class ConversionsTap(Tap):
        name = "tap-lead-conversions"
        config_jsonschema = th.PropertiesList(th.Property("base_url", th.StringType, required=True)).to_dict()

        def discover_streams(self) -> list[Any]:
            return [Conversions(tap=self)]

    def export(base_url: str, folder: Path) -> Path:
        ConversionsTap(config={"base_url": base_url}).sync_all()
        sys.stdout.flush()
        return folder / "stdout"

    return export
