"""The sandbox on a real socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import time
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import msgspec
import uvicorn

from airflow_provider_leadconv.sandbox.app import SandboxApp
from airflow_provider_leadconv.sandbox.service import Service
from airflow_provider_leadconv.sandbox.settings import (
    RateWindow,
    SecondConversion,
    Settings,
    ThrottleShape,
    UnknownLead,
)
from airflow_provider_leadconv.sandbox.store import Store
from airflow_provider_leadconv.sandbox.transport import SandboxProtocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_leadconv.sandbox.access import Scope
    from airflow_provider_leadconv.sandbox.faults import Fault
    from airflow_provider_leadconv.sandbox.log import LoggedRequest

LOOPBACK = "127.0.0.1"
START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0
# Idle connections of a client stay open as long as with common proxies.
KEEP_ALIVE = 75


class Sandbox:
    """A local stand-in for the Lead Conversions API, as a context manager.

    :param leads: how many leads can be converted.
    :param conversions: how many conversions there are already.
    :param seed: decides ids, kinds, the token, and when faults strike.
    :param faults: what goes wrong: :class:`Fault` or texts such as ``"drop_after:0.3"``.
    :param port: to listen on; 0 for a free one.
    :param path_prefix: what comes before ``/v2``, such as ``/sell``.
    :param rate: requests a second per token; None for no limit.
    :param rate_window: how they are counted: ``token_bucket``, ``fixed`` or ``sliding``.
    :param throttle_shape: the answer to a request over the limit: name of a ``throttle_`` fault.
    :param retry_after: seconds in a ``Retry-After`` header of such answers; None for no header, as ever.
    :param latency: seconds before a request is worked on.
    :param arrivals: conversions that other users make at each listing request.
    :param second_conversion: what a converted lead gives: ``refuse`` (422), ``not_found`` (404), ``conflict``
        (409), ``same`` (the same record) or ``new`` (one more conversion).
    :param unknown_lead: what an unknown lead gives: ``not_found`` (404) or ``invalid`` (422).
    :param post_status: status of a successful conversion, 200 or 201.
    :param link_base: scheme and host of links.
    :param foreign_url: scheme and host for the faults ``redirect`` and ``foreign_link``.
    :raises ValueError: a value that makes no sense.
    """

    def __init__(
        self,
        *,
        leads: int = 100,
        conversions: int = 0,
        seed: int = 0,
        faults: Iterable[Fault | str] = (),
        port: int = 0,
        path_prefix: str = "",
        rate: float | None = None,
        rate_window: RateWindow = "token_bucket",
        throttle_shape: ThrottleShape = "throttle_429",
        retry_after: int | None = None,
        latency: float = 0.0,
        arrivals: int = 0,
        second_conversion: SecondConversion = "refuse",
        unknown_lead: UnknownLead = "not_found",
        post_status: int = 200,
        link_base: str = "https://api.getbase.com",
        foreign_url: str = "https://foreign.invalid",
    ) -> None:
        settings = Settings().changed(
            rate=rate,
            rate_window=rate_window,
            throttle_shape=throttle_shape,
            retry_after=retry_after,
            latency=latency,
            arrivals=arrivals,
            second_conversion=second_conversion,
            unknown_lead=unknown_lead,
            post_status=post_status,
            link_base=link_base,
            foreign_url=foreign_url,
        )
        self._store = Store(leads=leads, conversions=conversions, seed=seed)
        self._service = Service(self._store, settings, faults, seed=seed)
        self._app = SandboxApp(self._service, path_prefix)
        self._path_prefix = path_prefix
        self._requested_port = port
        #: The access token, with the scopes ``read`` and ``write``.
        self.token: str = Random(seed).randbytes(32).hex()  # noqa: S311 - opens nothing but the sandbox
        #: The port, once started.
        self.port: int = port
        self.add_token(self.token)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, and return once requests are answered.

        :raises OSError: the port is taken.
        """
        # asyncio sends small packets at once only if the protocol is named; else each answer takes 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, self._requested_port))
        self._socket.listen(1024)
        self.port = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                http=SandboxProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = Thread(target=asyncio.run, args=(self._serve(),), name="leadconv-sandbox", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.005)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve(sockets=[self._socket])

    def stop(self) -> None:
        """Close all connections, requests being worked on included, and stop listening. Harmless twice."""
        if not self._thread.is_alive():
            return
        self._server.should_exit = True
        self._loop.call_soon_threadsafe(self._close_connections)
        self._thread.join(STOP_TIMEOUT)
        self._socket.close()

    def _close_connections(self) -> None:
        # Whatever waits on a connection, such as a stalled answer, ends with it.
        for connection in list(self._server.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()

    @property
    def base_url(self) -> str:
        """Such as ``http://127.0.0.1:8377``, with the path prefix."""
        return f"http://{LOOPBACK}:{self.port}{self._path_prefix}"

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection, as in ``AIRFLOW_CONN_...`` in JSON form."""
        if self._path_prefix:
            return {"conn_type": "leadconv", "host": self.base_url, "password": self.token}
        return {
            "conn_type": "leadconv",
            "host": LOOPBACK,
            "port": self.port,
            "schema": "http",
            "password": self.token,
        }

    @property
    def connection_uri(self) -> str:
        """The Airflow connection as a URI."""
        if self._path_prefix:
            return f"leadconv://:{self.token}@{quote(self.base_url, safe='')}"
        return f"leadconv://:{self.token}@{LOOPBACK}:{self.port}/http"

    @property
    def leads(self) -> list[int]:
        """Ids of the leads that can be converted and have not been."""
        return self._store.leads

    @property
    def owners(self) -> list[int]:
        """Ids of the account's users, as for ``owner_id``."""
        return list(self._store.owners)

    @property
    def conversions(self) -> list[dict[str, Any]]:
        """All conversions, newest first, visible or not."""
        return [msgspec.structs.asdict(conversion) for conversion in self._store.conversions]

    @property
    def conversion_counts(self) -> dict[int, int]:
        """Lead id -> how often it was converted, removed conversions included."""
        return self._store.conversion_counts

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests so far, oldest first; an entry's ``status`` is None while it is not answered."""
        return self._service.log.entries()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What goes wrong. Set it to :class:`Fault` objects or texts; ``times`` count afresh then."""
        return self._service.injector.faults

    @faults.setter
    def faults(self, faults: Iterable[Fault | str]) -> None:
        self._service.injector.faults = tuple(faults)

    @property
    def settings(self) -> Settings:
        """How it behaves."""
        return self._service.settings

    def change_settings(self, **changes: object) -> None:
        """:param changes: ``rate`` to ``foreign_url`` of the constructor; rate limits start afresh.
        :raises ValueError: an unknown name or a bad value.
        """
        self._service.change_settings(**changes)

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        self._service.log.clear()

    def add_leads(self, number: int, *, convertible: bool = True) -> list[int]:
        """:param number: how many leads to add.
        :param convertible: False for leads that are refused with 422.
        :return: their ids.
        """
        return self._store.add_leads(number, convertible=convertible)

    def add_conversion(self, lead_id: int | None = None, visible_after: float = 0.0) -> dict[str, Any]:
        """Convert a lead as another user of the account would.

        :param lead_id: the lead; None for a new one.
        :param visible_after: seconds until the conversion is visible.
        :return: the conversion.
        :raises ConversionRefusedError: it cannot be converted.
        """
        return msgspec.structs.asdict(self._store.add_conversion(lead_id, visible_after))

    def remove_conversion(self, conversion_id: int) -> None:
        """Take a conversion out of the listing. Its lead stays converted.

        :raises KeyError: there is no such conversion.
        """
        self._store.remove_conversion(conversion_id)

    def add_token(self, token: str, scopes: Iterable[Scope] = ("read", "write")) -> None:
        """:param token: a further token, with a rate of its own.
        :param scopes: what it allows.
        """
        self._service.access.add(token, scopes, self._store.owners[0])

    def revoke_token(self, token: str) -> None:
        """Make a token invalid.

        :raises KeyError: there is no such token.
        """
        self._service.access.revoke(token)
