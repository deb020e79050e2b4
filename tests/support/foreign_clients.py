"""Other clients that read all conversions, and follow ``next_page`` wherever it leads.

They run in a process of their own, since they configure logging and telemetry for the whole process:
``python foreign_clients.py NAME BASE_URL TOKEN`` prints the ids that the client has read, as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

PATH = "/v2/lead_conversions"
PER_PAGE = 20


def dlt_ids(base_url: str, token: str) -> Iterator[int]:
    """dlt's ``RESTClient``, as dlt's documentation has it for an API with a link to the next page."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    from dlt.sources.helpers.rest_client import RESTClient
    from dlt.sources.helpers.rest_client.auth import BearerTokenAuth
    from dlt.sources.helpers.rest_client.paginators import JSONLinkPaginator

    client = RESTClient(
        base_url=base_url,
        auth=BearerTokenAuth(token),
        paginator=JSONLinkPaginator("meta.links.next_page"),
        data_selector="items",
    )
    for page in client.paginate(PATH, params={"per_page": PER_PAGE}):
        for item in page:
            yield item["data"]["id"]


def singer_ids(base_url: str, token: str) -> Iterator[int]:
    """A stream of the Singer SDK whose token for the next page is its link."""
    from singer_sdk import RESTStream, Tap
    from singer_sdk import typing as th
    from singer_sdk.authenticators import BearerTokenAuthenticator
    from singer_sdk.pagination import BaseHATEOASPaginator

    class Links(BaseHATEOASPaginator):
        def get_next_url(self, response: Any) -> str | None:
            return response.json()["meta"]["links"].get("next_page")

    class Conversions(RESTStream[Any]):
        name = "lead_conversions"
        path = PATH
        url_base = base_url
        records_jsonpath = "$.items[*].data"
        schema = th.PropertiesList(th.Property("id", th.IntegerType)).to_dict()
        authenticator = BearerTokenAuthenticator(token=token)

        def get_new_paginator(self) -> Any:
            return Links()

        def prepare_request(self, context: Any, next_page_token: Any) -> Any:
            url = next_page_token.geturl() if next_page_token else f"{base_url}{PATH}?per_page={PER_PAGE}"
            return self.build_prepared_request(method="GET", url=url, headers=self.http_headers)

    class Conversion(Tap):
        name = "tap-lead-conversions"

        def discover_streams(self) -> list[Any]:
            return [Conversions(tap=self)]

    (stream,) = Conversion().discover_streams()
    for record in stream.get_records(None):
        yield record["id"]


def curl_ids(base_url: str, token: str) -> Iterator[int]:
    """The command on the vendor's page, once for each page."""
    url = f"{base_url}{PATH}?per_page={PER_PAGE}"
    while url:
        headers = ("-H", "Accept: application/json", "-H", f"Authorization: Bearer {token}")
        command = ["curl", "-v", "--fail", "--max-time", "60", "-X", "GET", url, *headers]
        page = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        yield from (item["data"]["id"] for item in page["items"])
        url = page["meta"]["links"].get("next_page")


CLIENTS = {"curl": curl_ids, "dlt": dlt_ids, "singer-sdk": singer_ids}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    print(json.dumps(list(CLIENTS[name](*arguments))))
