"""What happened in a simulation, in the order of its time."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

NEWLINE = b"\n"


@dataclass
class Post:
    """A conversion that was sent.

    :param process: number of the process, from 0.
    :param run: identity of its run.
    :param sent_at: when the client decided to send it.
    :param arrived_at: when it reached the server, if it did.
    """

    lead_id: int
    process: int
    run: str
    sent_at: float
    arrived_at: float | None = None


@dataclass
class Made:
    """A conversion as the server has it.

    :param post: the request that made it; ``None`` if another user did.
    """

    lead_id: int
    conversion_id: int
    time: float
    post: Post | None


@dataclass
class Outcome:
    """What a process reported of its leads when it ended in order.

    :param results: lead id -> status and id of the conversion.
    :param own_processes: the processes whose conversions it calls its own.
    """

    process: int
    run: str
    batch: list[int]
    results: dict[int, tuple[str, int | None]]
    own_processes: frozenset[int]


@dataclass
class History:
    """The record of a simulation.

    :param clock: the simulated time.
    """

    clock: Callable[[], float]
    lines: list[tuple[float, str, str]] = field(default_factory=list)
    posts: list[Post] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    cleared: list[tuple[float, str]] = field(default_factory=list)
    """When a run recorded that the outcome of every request is known."""
    request_times: dict[int, list[float]] = field(default_factory=dict)
    """Number of a process -> when its requests were sent."""
    suspended_beside_successor: dict[int, float] = field(default_factory=dict)
    """Number of a process -> when it went on after another one had converted its leads."""
    audits: dict[int, set[int]] = field(default_factory=dict)
    """Number of a process that came to its end -> leads that its closing audit found converted twice."""

    def note(self, who: str, text: str) -> None:
        """Add a line to the timeline."""
        self.lines.append((self.clock(), who, text))

    def note_written(self, name: str, data: bytes) -> None:
        """Add a line about a journal or a file."""
        if name != "journal":
            self.note("disk", f"writes {name}, {data.count(NEWLINE)} lines")
            return
        record = json.loads(data)
        line = record.get("line", {})
        about = f" of lead {line['lead_id']}: {line['status']}" if line else ""
        self.note("disk", f"appends to the journal: {record['record']}{about}")

    def timeline(self) -> str:
        """Return all lines, one event each."""
        return "\n".join(f"{moment:10.3f}  {who:12}  {text}" for moment, who, text in self.lines)
