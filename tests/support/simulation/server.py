"""The server of a simulation: it records each request, its effect and its response."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from greenlet import getcurrent

from airflow_provider_leadconv.api.http import Response, TransportFailure
from airflow_provider_leadconv.sandbox.store import ConversionRefusedError, Store
from airflow_provider_leadconv.sandbox.transport import HangUp
from tests.support.bulk_simulation import Server
from tests.support.simulation.history import History, Made, Post

SENDING_TAKES = 0.005
"""Seconds at most between a client's last check and the moment when a request is out of its hands."""


class RecordedStore(Store):
    """An account that records who made each conversion."""

    record: History
    at: Callable[[float, Callable[[], object]], None]
    late_visibility = 0.0
    """Seconds until a late commit is visible."""
    current: Post | None = None
    """The conversion that is worked on."""

    def convert(self, lead_id: int, **options: Any) -> Any:
        conversion = super().convert(lead_id, **options)
        now = self.record.clock()
        self.record.made.append(Made(lead_id, conversion.id, now, self.current))
        delays = {name: options.get(f"{name}_after", 0.0) for name in ("visible", "lookup")}
        later = "".join(f", {name} at {now + delay:.3f}" for name, delay in delays.items() if delay)
        who = f"P{self.current.process}" if self.current else "another user"
        self.record.note("server", f"lead {lead_id} converted by {who}: conversion {conversion.id}{later}")
        return conversion

    def convert_later(self, seconds: float, lead_id: int, **options: Any) -> None:
        self.at(self.record.clock() + seconds, partial(self._commit, self.current, lead_id, options))

    def _commit(self, post: Post | None, lead_id: int, options: dict[str, Any]) -> None:
        earlier, self.current = self.current, post
        try:
            self.convert(lead_id, visible_after=self.late_visibility, **options)
        except ConversionRefusedError:
            self.record.note("server", f"late commit of lead {lead_id} refused")
        finally:
            self.current = earlier


class _Responses(list[Any]):
    """What a client waits for, and what of."""

    post: Post | None = None


@dataclass
class RecordedServer(Server):
    """A server that several processes call."""

    make_store: Callable[..., Store] = RecordedStore
    on_post: Callable[[int, str, Post], None] = lambda process, phase, post: None
    """Called when a conversion is about to be sent, has arrived, and is answered."""

    def connect(self, history: History, rng: Random) -> None:
        """Record here, from now on."""
        self.history, self._network = history, rng
        self.store.record, self.store.at = history, self.world.at

    def __call__(self, request, token):
        sender = getcurrent()
        process, deadline = sender.process, self.world.now + self.timeout
        self.history.request_times.setdefault(process.number, []).append(self.world.now)
        responses = _Responses()
        if request.method == "POST":
            lead_id = json.loads(request.body)["data"]["lead_id"]
            responses.post = post = Post(lead_id, process.number, process.run, self.world.now)
            self.history.posts.append(post)
            self.history.note(process.name, f"sends lead {lead_id}")
            self.on_post(process.number, "sending", post)
        self.world.sleep(self._network.uniform(0.0, SENDING_TAKES))
        arrival = self.world.now + self._network.uniform(0.005, 0.03)
        self.world.at(arrival, lambda: self._work(request, token, responses, sender))
        self.world.at(max(deadline, self.world.now), lambda: self._give_up(responses, sender))
        self.world.suspend()
        if self.world.now > deadline:  # it slept; what the kernel has received is not read any more
            return self._received(responses, TransportFailure(sent=True, reason="no response in time"))
        return self._received(responses, responses[0])

    def _received(self, responses, response):
        if responses.post:
            name = getcurrent().process.name
            what = response.status_code if isinstance(response, Response) else response.reason
            self.history.note(name, f"response to lead {responses.post.lead_id}: {what}")
        return response

    def _work(self, request, token, responses, sender):
        post = self.store.current = responses.post
        try:
            super()._work(request, token, responses, sender)
        finally:
            self.store.current = None
        if post:
            post.arrived_at = self.world.now
            self.on_post(post.process, "arrived", post)

    def _response(self, request, token):
        response = super()._response(request, token)
        what = "hangs up" if isinstance(response, HangUp) else f"answers {response.status_code}"
        about = f"lead {self.store.current.lead_id}" if self.store.current else request.query
        self.history.note("server", f"{request.method} {about} arrives; {what}")
        return response

    def _deliver(self, response, responses, sender):
        if responses.post and not responses:
            self.on_post(responses.post.process, "answered", responses.post)
        super()._deliver(response, responses, sender)
