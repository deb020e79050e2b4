"""An HTTP adapter for ``requests`` whose read timeout bounds the whole answer, not each read of it.

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
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import ConnectionPool, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager

BEFORE_SENDING = "nothing was sent yet"
"""Note on every error of connecting: names, proxies and the TLS handshake included."""


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a point in time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        timeout = sock.gettimeout()
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        try:
            self._allow_what_is_left()
            return self._raw.readinto(buffer)
        except TimeoutError:
            # Closing is to drop what the kernel has not delivered yet. In a partition it would go on trying for
            # minutes, and deliver a conversion long after it was given up and judged not to be made.
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise

    def _allow_what_is_left(self) -> None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer did not end in time")
            self._sock.settimeout(left)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _DeadlineConnection(HTTPConnection):
    response_class = _DeadlineResponse

    def connect(self) -> None:
        try:
            super().connect()
        except Exception as error:
            error.add_note(BEFORE_SENDING)
            raise


class _DeadlineHTTPSConnection(_DeadlineConnection, HTTPSConnection):
    pass


class _DeadlineHTTPPool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _DeadlineHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineHTTPSConnection


class DeadlineAdapter(HTTPAdapter):
    """``requests``' own adapter for one host, over connections that keep to the deadline, through proxies too."""

    _pool: ConnectionPool | None = None

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """See :class:`requests.adapters.HTTPAdapter`."""
        super().init_poolmanager(*args, **kwargs)
        _keep_deadlines(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> PoolManager:
        """See :class:`requests.adapters.HTTPAdapter`."""
        manager: PoolManager = super().proxy_manager_for(*args, **kwargs)
        _keep_deadlines(manager)
        return manager

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:
        """See :class:`requests.adapters.HTTPAdapter`. Found once, as all requests go the same way to the same host."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def close(self) -> None:
        """See :class:`requests.adapters.HTTPAdapter`."""
        self._pool = None
        super().close()


def _keep_deadlines(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _DeadlineHTTPPool, "https": _DeadlineHTTPSPool}
