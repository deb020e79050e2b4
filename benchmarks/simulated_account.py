"""The API of an account on a simulated clock: as many conversions as wanted, and each response as late as wanted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import parse_qs

from airflow_provider_leadconv.api.config import Secret
from airflow_provider_leadconv.api.http import Request, Response

_EPOCH = datetime(2025, 1, 1, tzinfo=UTC)
_FOREIGN = 10**9
"""Leads of the conversions that are there from the start have ids above this one."""


class SimulatedTime(Protocol):
    """What lets others run until some seconds have passed."""

    def sleep(self, seconds: float) -> None: ...


class SimulatedAccount:
    """A transport of the client.

    :param conversions: how many conversions there are from the start, of leads above 10**9, one a minute.
    :param latency: seconds until each response.
    """

    def __init__(self, time: SimulatedTime, conversions: int, latency: float) -> None:
        self.converted: dict[int, int] = {}
        """Lead id -> id of its conversion."""
        self._time = time
        self._latency = latency
        self._leads = [_FOREIGN + number for number in range(conversions)]  # by id of the conversion, less one

    def __call__(self, request: Request, token: Secret) -> Response:  # noqa: ARG002
        """Respond."""
        self._time.sleep(self._latency)
        content = self._convert(request) if request.method == "POST" else self._list(parse_qs(request.query or ""))
        return Response(status_code=200, headers={}, body=json.dumps(content).encode())

    def close(self) -> None:
        """Nothing is open."""

    def _convert(self, request: Request) -> dict[str, object]:
        lead_id = json.loads(request.body or b"")["data"]["lead_id"]
        assert lead_id not in self.converted, f"lead {lead_id} is converted twice"
        self._leads.append(lead_id)
        self.converted[lead_id] = len(self._leads)
        return {"data": self._row(len(self._leads)), "meta": {"type": "lead_conversion"}}

    def _list(self, query: dict[str, list[str]]) -> dict[str, object]:
        if "lead_id" in query:
            found = self.converted.get(int(query["lead_id"][0]))
            return _page([self._row(found)] if found else [], None)
        size = int(query["per_page"][0])
        newest = int(query["cursor"][0]) if "cursor" in query else len(self._leads)
        newest -= size * (int(query["page"][0]) - 1) if "page" in query else 0
        ids = range(newest, max(newest - size, 0), -1)
        following = str(newest - size) if newest > size else None
        return _page([self._row(number) for number in ids], following)

    def _row(self, number: int) -> dict[str, object]:
        created_at = _EPOCH + timedelta(minutes=number)
        return {"id": number, "lead_id": self._leads[number - 1], "created_at": f"{created_at:%Y-%m-%dT%H:%M:%SZ}"}


def _page(rows: list[dict[str, object]], cursor: str | None) -> dict[str, object]:
    links = {"next_page": f"http://127.0.0.1/v2/lead_conversions?cursor={cursor}"} if cursor else {}
    meta = {"type": "collection", "count": len(rows), "links": links}
    return {"items": [{"data": row, "meta": {"type": "lead_conversion"}} for row in rows], "meta": meta}
