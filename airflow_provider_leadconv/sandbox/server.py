"""The sandbox on a real socket, in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from random import Random
from threading import Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import msgspec
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_leadconv.sandbox.app import SandboxApp
from airflow_provider_leadconv.sandbox.service import Service
from airflow_provider_leadconv.sandbox.settings import SandboxSettings
from airflow_provider_leadconv.sandbox.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from airflow_provider_leadconv.sandbox.access import Scope
    from airflow_provider_leadconv.sandbox.faults import Fault
    from airflow_provider_leadconv.sandbox.history import History, LoggedRequest
    from airflow_provider_leadconv.sandbox.settings import SettingsOptions

LOOPBACK = "127.0.0.1"
START_TIMEOUT = 10.0
STOP_TIMEOUT = 5.0
# Idle connections of a client stay open as long as with common proxies.
KEEP_ALIVE = 75


class SandboxProtocol(H11Protocol):
    """Adds the connection's transport to the state of its requests, for responses that misuse it."""

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as H11Protocol
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


class Sandbox:
    """A local stand-in for the Lead Conversions API, as a context manager.

    :param leads: number of leads that can be converted.
    :param conversions: number of existing conversions.
    :param seed: decides ids, kinds of leads, the token, and when faults apply.
    :param faults: active faults: :class:`Fault` or texts such as ``"drop_after:0.3"``.
    :param port: the port to listen on; 0 for a free one.
    :param path_prefix: prefix of the path ``/v2``, such as ``/sell``.
    :param settings: how it behaves; see :class:`SandboxSettings`.
    :raises ValueError: an unknown setting or an invalid value.
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
        **settings: Unpack[SettingsOptions],
    ) -> None:
        if path_prefix and (not path_prefix.startswith("/") or path_prefix.endswith("/")):
            msg = f"path_prefix is {path_prefix!r}, must start with a slash and not end with one"
            raise ValueError(msg)
        self._store = Store(leads=leads, conversions=conversions, seed=seed)
        self._service = Service(self._store, SandboxSettings().changed(**settings), faults, seed=seed)
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
        """Start the server, and return when it accepts requests.

        :raises OSError: the port is in use.
        """
        # asyncio sets TCP_NODELAY only if the protocol is named; without it each response takes 40 ms.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((LOOPBACK, self._requested_port))
            self._socket.listen(1024)
        except OSError:
            self._socket.close()
            raise
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
        """Close all connections, also those of requests in progress, and stop listening. Idempotent."""
        if not self._thread.is_alive():
            return
        self._server.should_exit = True
        self._loop.call_soon_threadsafe(self._close_connections)
        self._thread.join(STOP_TIMEOUT)
        self._socket.close()

    def _close_connections(self) -> None:
        # A response that waits, such as a stalled one, ends with its connection.
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
    def conversion_counts(self) -> Counter[int]:
        """Lead id -> how often it was converted, removed conversions included; 0 for a lead that was not."""
        return self._store.conversion_counts

    @property
    def requests(self) -> list[LoggedRequest]:
        """The requests so far, oldest first; ``status`` is None before the response."""
        return self._app.request_log.entries()

    @property
    def history(self) -> History:
        """All requests and all conversions: which request made which conversion, and when it became visible."""
        return self._service.history(self._app.request_log)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The active faults. Set it to :class:`Fault` objects or texts; this restarts the count of ``times``."""
        return self._service.injector.faults

    @faults.setter
    def faults(self, faults: Iterable[Fault | str]) -> None:
        self._service.injector.faults = tuple(faults)

    @property
    def settings(self) -> SandboxSettings:
        """How it behaves."""
        return self._service.settings

    def change_settings(self, **changes: Unpack[SettingsOptions]) -> None:
        """Change settings, and restart the rate limits.

        :param changes: settings by name; see :class:`SandboxSettings`.
        :raises ValueError: an unknown name or an invalid value.
        """
        self._service.change_settings(**changes)

    def clear_requests(self) -> None:
        """Remove all requests from ``requests``."""
        self._app.request_log.clear()

    def add_leads(self, number: int, *, convertible: bool = True) -> list[int]:
        """Add leads.

        :param number: how many.
        :param convertible: False for leads that are rejected with 422.
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
        """Remove a conversion from the listing. Its lead stays converted.

        :raises KeyError: there is no such conversion.
        """
        self._store.remove_conversion(conversion_id)

    def add_token(self, token: str, scopes: Iterable[Scope] = ("read", "write")) -> None:
        """Add a token, with a rate limit of its own.

        :param scopes: what it allows.
        """
        self._service.access.add(token, scopes, self._store.owners[0])

    def revoke_token(self, token: str) -> None:
        """Make a token invalid.

        :raises KeyError: there is no such token.
        """
        self._service.access.revoke(token)
