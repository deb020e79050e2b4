"""How much of a token's rate was used, from the requests that the sandbox has seen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from airflow_provider_leadconv.sandbox.control import LoggedRequest

TOO_MANY_REQUESTS = 429


class Usage(NamedTuple):
    """What became of the requests *while posting*: while at least one chunk had leads that it had not sent yet.

    Not in it: the pre-check, waiting for pending look-ups, and the time that Airflow takes to
    start tasks, if no other chunk is posting meanwhile.

    :param seconds: how long that was.
    :param served: requests served in it, conversions and look-ups, since both use up the rate.
    :param converted: those of them that were conversions.
    """

    seconds: float
    served: int
    converted: int

    @property
    def rate(self) -> float:
        """Requests served a second."""
        return self.served / self.seconds


def usage_while_posting(
    requests: Sequence[LoggedRequest], chunk_of: Mapping[int, int], killed_at: float, killed: Iterable[int]
) -> Usage:
    """:param requests: all that the sandbox has seen.
    :param chunk_of: lead id -> number of its chunk.
    :param killed_at: when a worker was killed.
    :param killed: the chunks that it was working on; each has posted twice, with a pause between.
    """
    killed = set(killed)
    periods: dict[tuple[int, bool], list[float]] = {}
    sent: set[tuple[tuple[int, bool], int]] = set()
    all_served = [request for request in requests if request.status != TOO_MANY_REQUESTS]
    for request in all_served:
        if request.method == "POST":
            lead = json.loads(request.body)["data"]["lead_id"]
            chunk = chunk_of[lead]
            attempt = (chunk, chunk in killed and request.time > killed_at)
            if (attempt, lead) not in sent:
                sent.add((attempt, lead))
                periods.setdefault(attempt, [request.time, request.time])[1] = request.time
    posting = _union(periods.values())
    served = [request for request in all_served if _within(posting, request.time)]
    return Usage(
        seconds=sum(end - start for start, end in posting),
        served=len(served),
        converted=sum(request.method == "POST" for request in served),
    )


def _union(periods: Iterable[Sequence[float]]) -> list[list[float]]:
    union: list[list[float]] = []
    for start, end in sorted(periods):
        if union and start <= union[-1][1]:
            union[-1][1] = max(end, union[-1][1])
        else:
            union.append([start, end])
    return union


def _within(periods: Iterable[Sequence[float]], time: float) -> bool:
    return any(start <= time <= end for start, end in periods)
