"""A Sell account without a network: a transport for the client that answers listings from a list of rows."""

from __future__ import annotations

import base64
import json
from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.messages import Answer
from airflow_provider_leadconv.api.wire import FILTERS, ListQuery
from airflow_provider_leadconv.jobs.reading import Selection

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def conversion(number, **fields):
    """What the API sends for a conversion; a minute passes from one to the next."""
    row = {
        "id": number,
        "lead_id": 10 * number,
        "individual_id": 3 * number if number % 3 else None,
        "organization_id": None if number % 3 else 5 * number,
        "deal_id": 7 * number,
        "creator_id": number % 2 + 1,
        "created_at": (EPOCH + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    return row | fields


class Account:
    """Conversions by id, ascending, and what happens at each request.

    :param rows: the conversions.
    :param repeated: how many rows of the page before come again on a page.
    :param before: called with the number of the request, from 1, before it is answered; may change the account, or
        return an answer to give instead.
    """

    def __init__(self, rows=(), *, before=lambda number: None, repeated=lambda: 0):
        self.repeated = repeated
        self.rows = {row["id"]: row for row in rows}
        self.before = before
        self.queries = []
        self.now = 0.0

    @property
    def ids(self):
        return sorted(self.rows)

    def add(self, *rows):
        self.rows.update({row["id"]: row for row in rows})

    def client(self, **config):
        config = {"token": "token", "account": "acme", "requests_per_second": 1e6, **config}
        return LeadConversionsClient(ClientConfig(**config), transport=self, clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds):
        self.now += seconds

    def __call__(self, request, token):
        query = {key: values[0] for key, values in parse_qs(request.query).items()}
        self.queries.append(query)
        if (answer := self.before(len(self.queries))) is not None:
            return answer
        ids = self._fitting(query)
        per_page = int(query["per_page"])
        page = ids[-per_page:][::-1]
        links = {}
        if len(ids) > per_page:
            cursor = base64.encodebytes(json.dumps({"last_id": page[-1]}).encode()).decode()
            links = {"next_page": f"https://elsewhere/v2/lead_conversions?cursor={quote(cursor)}"}
        items = [{"data": self.rows[number], "meta": {}} for number in page]
        body = {"items": items, "meta": {"count": len(items), "links": links}}
        return answered(200, body)

    def _fitting(self, query):
        ids = self.ids
        if "cursor" in query:
            last_id = json.loads(base64.b64decode(query["cursor"]))["last_id"]
            ids = ids[: bisect_left(ids, last_id) + self.repeated()]
        wanted = {name: int(query[name]) for name in FILTERS if name in query}
        return [n for n in ids if all(self.rows[n][name] == value for name, value in wanted.items())] if wanted else ids

    def close(self):
        pass


def answered(status, body):
    return Answer(status=status, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def selection(created_from=None, created_until=None, **query):
    return Selection(query=ListQuery(**query), created_from=created_from, created_until=created_until)
