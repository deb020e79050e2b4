"""An HTTP server that keeps the JSON that is posted to it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, Self


class Webhook:
    """On a free port of loopback, as a context manager.

    ``posted`` is what came to ``url``, oldest first, and ``digests`` what came to ``digest_url``. While ``is_open`` is
    not set, a digest gets no response.
    """

    def __init__(self) -> None:
        self.posted: list[Any] = []
        self.digests: list[list[Any]] = []
        self.is_open = Event()
        self.is_open.set()
        posted, digests, is_open = self.posted, self.digests, self.is_open

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                (digests if self.path == "/digest" else posted).append(body)
                if self.path == "/digest":
                    is_open.wait(200)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/deals"

    @property
    def digest_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/digest"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
