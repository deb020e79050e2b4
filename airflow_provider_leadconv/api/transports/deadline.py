"""An HTTP adapter for ``requests`` whose read timeout bounds the whole response, not each read of it.

``requests`` starts its read timeout anew with every byte that arrives, so a server that trickles its headers or its
body can hold a task for ever.
"""

from __future__ import annotations

import http.client
import io
import socket
import struct
import time
from typing import Any

from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

from airflow_provider_leadconv.api.transports.connecting import connect
from airflow_provider_leadconv.api.transports.failures import note_not_sent
from airflow_provider_leadconv.api.transports.forking import ConnectionStack
from airflow_provider_leadconv.api.transports.network_settings import NetworkSettings


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a point in time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self.ended = False
        timeout = sock.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            self._allow_what_is_left()
            size = self._raw.readinto(buffer)
        except TimeoutError:
            # Closing is to drop what the kernel has not delivered yet. In a partition it would go on trying for
            # minutes, and deliver a conversion long after it was given up and judged not to be made.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise
        self.ended = self.ended or size == 0
        return size

    def _allow_what_is_left(self) -> None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the response did not end in time")
            self._sock.settimeout(left)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _DeadlineReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        if self._reader.ended:  # http.client takes headers that are cut off for complete ones
            raise http.client.IncompleteRead(b"")

    def _read_status(self) -> tuple[str, int, str]:
        version, status, reason = super()._read_status()  # type: ignore[misc]  # the stubs do not have it
        # http.client skips a 100, and takes any other interim response, such as 103 Early Hints, for the last one.
        interim = 100 <= status < 200 and status != http.client.SWITCHING_PROTOCOLS
        return version, http.client.CONTINUE if interim else status, reason


class _DeadlineConnection(HTTPConnection):
    response_class = _DeadlineResponse

    def _new_conn(self) -> socket.socket:
        host = self._dns_host.strip("[]")
        return connect(host, self.port, timeout=self.timeout, options=self.socket_options or ())  # type: ignore[arg-type]

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            note_not_sent(error)
            raise


class _DeadlineHTTPSConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _DeadlineHTTPPool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection
    QueueCls = ConnectionStack  # type: ignore[assignment]  # all of a LifoQueue that is used


class _DeadlineHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection
    QueueCls = ConnectionStack  # type: ignore[assignment]  # all of a LifoQueue that is used


class DeadlineAdapter(HTTPAdapter):
    """``requests``' own adapter for one host, over connections that keep to the deadline, through proxies too.

    :param network: the proxy and the TLS context, which replace the ``proxies`` and ``verify`` of each request.
    :param connections: idle connections to keep.
    """

    def __init__(self, network: NetworkSettings, *, connections: int) -> None:
        self._network = network
        self._pool: ConnectionPool | None = None
        super().__init__(pool_maxsize=connections)

    @override
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _keep_deadlines(self.poolmanager)

    @override
    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs, proxy_ssl_context=self._network.tls)
        _keep_deadlines(manager)
        return manager

    @override
    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        host, _ = super().build_connection_pool_key_attributes(*args, **kwargs)
        return host, {"ssl_context": self._network.tls}

    @override
    def cert_verify(self, *args: Any, **kwargs: Any) -> None:
        """Leave the pool as it is: its TLS context has the certificates already."""

    @override
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        # Found once, as all requests go the same way to the same host.
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    @override
    def close(self) -> None:
        self._pool = None
        super().close()


def _keep_deadlines(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _DeadlineHTTPPool, "https": _DeadlineHTTPSPool}
