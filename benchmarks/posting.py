"""Those who convert leads: ours, and what a user would write or pick instead, each with the retries it usually gets.

A contestant is made for an account and makes all its imports then; it is called with leads, once or several times.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

Convert = Callable[[Sequence[int]], object]

POOL = 16
"""Requests in flight of the thread pool, and of ours by default."""


class Target(NamedTuple):
    """An account to convert leads of.

    :param limited: whether the API limits the rate. If not, ours is told so; the others do not pace themselves.
    :param seconds: after so many the others begin no further lead.
    """

    base_url: str
    token: str
    limited: bool = True
    seconds: float = float("inf")

    @property
    def url(self) -> str:
        return f"{self.base_url}/v2/lead_conversions"


def ours(target: Target) -> Convert:
    """Our operator, with a file of results, as a task runs it."""
    from airflow_provider_leadconv.bulk import run  # noqa: F401  # not to be timed
    from airflow_provider_leadconv.bulk.outputs import results  # noqa: F401
    from airflow_provider_leadconv.operators.bulk import LeadConversionBulkOperator

    extra = {"timeout": 5, "settle_time": 2, **({} if target.limited else {"requests_per_second": 1e6})}
    connection = {"conn_type": "leadconv", "host": target.base_url, "password": target.token, "extra": extra}
    os.environ["AIRFLOW_CONN_LEADCONV_DEFAULT"] = json.dumps(connection)

    def convert(leads: Sequence[int]) -> object:
        with tempfile.TemporaryDirectory() as folder:
            return LeadConversionBulkOperator(
                task_id="convert",
                leads=leads,
                results_path=f"{folder}/results.jsonl",
                max_failures=None,
            ).execute({})

    return convert


def requests_loop(target: Target) -> Convert:
    """One request after the other; urllib3 repeats what was throttled or lost."""
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    retry = Retry(total=10, backoff_factor=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None)
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {target.token}"
    session.mount("http://", HTTPAdapter(max_retries=retry))

    def post(lead: int) -> None:
        answer = session.post(target.url, json={"data": {"lead_id": lead}}, timeout=30)
        answer.raise_for_status()
        answer.json()["data"]["id"]

    return lambda leads: list(map(_going_on(post, target.seconds), leads))


def thread_pool(target: Target) -> Convert:
    """Threads that share a session and do not pace themselves; tenacity repeats whatever fails."""
    import requests
    import tenacity
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {target.token}"
    session.mount("http://", HTTPAdapter(pool_maxsize=POOL))

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(requests.RequestException),
        wait=tenacity.wait_random_exponential(max=10),
        stop=tenacity.stop_after_attempt(10),
        reraise=True,
    )
    def post(lead: int) -> None:
        answer = session.post(target.url, json={"data": {"lead_id": lead}}, timeout=30)
        answer.raise_for_status()
        answer.json()["data"]["id"]

    def convert(leads: Sequence[int]) -> object:
        with ThreadPoolExecutor(POOL) as pool:
            return list(pool.map(_going_on(post, target.seconds), leads))

    return convert


def http_operator(target: Target) -> Convert:
    """Airflow's HttpOperator, executed for one lead after the other, as a mapped task in a pool of one slot does it.

    It is not charged with what the scheduler and a process for each mapped task cost. What fails is repeated as a task
    with three retries does it, but after a second, not five minutes.
    """
    from airflow.providers.http.operators.http import HttpOperator

    connection = {"conn_type": "http", "host": target.base_url, "extra": {"timeout": 30}}
    os.environ["AIRFLOW_CONN_HTTP_DEFAULT"] = json.dumps(connection)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {target.token}"}

    def post(lead: int) -> None:
        body = json.dumps({"data": {"lead_id": lead}})
        operator = HttpOperator(task_id="convert", endpoint="v2/lead_conversions", data=body, headers=headers)
        for _ in range(3):
            try:
                operator.execute({})
            except Exception:  # noqa: BLE001  # whatever it is, Airflow tries the task again
                time.sleep(1)
            else:
                return
        operator.execute({})

    return lambda leads: list(map(_going_on(post, target.seconds), leads))


def bare_socket(target: Target) -> Convert:
    """One socket and no HTTP library: what the server can do, one request after the other."""
    address = urlsplit(target.base_url)
    connection = socket.create_connection((address.hostname, address.port))
    head = (
        f"POST /v2/lead_conversions HTTP/1.1\r\nHost: api\r\nAuthorization: Bearer {target.token}\r\nContent-Length: "
    )

    def convert(leads: Sequence[int]) -> None:
        for lead in leads:
            body = json.dumps({"data": {"lead_id": lead}})
            connection.sendall(f"{head}{len(body)}\r\n\r\n{body}".encode())
            while not connection.recv(65536).endswith(b"}"):
                pass

    return convert


CONTESTANTS: dict[str, Callable[[Target], Convert]] = {
    "ours": ours,
    "requests loop": requests_loop,
    "HttpOperator": http_operator,
    "thread pool": thread_pool,
    "bare socket": bare_socket,
}


def _going_on(post: Callable[[int], None], seconds: float) -> Callable[[int], None]:
    """A lead given up after all its retries does not end a batch, but time does."""
    end = time.monotonic() + seconds

    def post_in_time(lead: int) -> None:
        if time.monotonic() < end:
            with suppress(Exception):
                post(lead)

    return post_in_time
