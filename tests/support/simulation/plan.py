"""What one seed draws: the batch, the server, and a series of processes, each with what happens to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from airflow_provider_leadconv.sandbox.faults import Fault

TIMEOUT = 10.0
SETTLE = 5.0
MARGIN = 0.6
"""Seconds by which the server keeps below the client's ``timeout`` and ``settle_time``, for the network."""

_LOST = ("drop_before", "drop_after", "error_500_after", "error_504_html_after", "cut_json", "error_500", "error_503")
_STRANGE = ("error_200_bare", "html_200")
_THROTTLES = ("throttle_429", "throttle_429_empty", "throttle_404", "throttle_409")
_READS = ("error_503", "throttle_429_empty", "drop_before", "empty_page", "short_page")

RERUNS = ("retry", "reschedule", "clear", "new run over the results", "new run that waits")
PHASES = ("sending", "arrived", "answered")


@dataclass
class Moment:
    """When something happens to a process.

    :param seconds: after its start; ``None`` if a request decides.
    :param post: at which of its conversions, counted from 1.
    :param phase: of that conversion: one of ``PHASES``.
    """

    seconds: float | None
    post: int
    phase: str

    def __str__(self) -> str:
        if self.seconds is not None:
            return f"after {self.seconds:.3f} s"
        return f"at conversion {self.post}, when it is {self.phase}"


@dataclass
class Interruption:
    """What happens to a process.

    :param kind: ``kill``, ``terminate``, ``suspend``, ``suspend beside a successor``, ``zombie`` (it goes on beside a
        successor), ``revoke the token`` or ``outage``.
    :param seconds: how long it lasts, if it does.
    :param raises: whether a SIGTERM raises in the main thread, too.
    """

    kind: str
    moment: Moment
    seconds: float
    raises: bool

    def __str__(self) -> str:
        return f"{self.kind} {self.moment}"


@dataclass
class Attempt:
    """One process.

    :param rerun: one of ``RERUNS``: how it relates to the one before.
    :param delay: seconds between the end of the one before and its start.
    :param late_visibility: seconds until a late commit is visible.
    """

    rerun: str
    delay: float
    faults: list[Fault]
    late_visibility: float
    interruptions: list[Interruption]


@dataclass
class Plan:
    """A schedule.

    :param task: ``operator`` with a results file, or ``hook`` in a task.
    :param keeps_state: whether there is a task state store (Airflow 3.3).
    :param loses_state: whether clearing a task clears its state store.
    :param limit: requests per second that the server admits; ``None`` for any number.
    :param others: when another user converts one of the leads, and which, by position.
    """

    seed: int
    leads: int
    bad_leads: int
    converted_before: int
    conversions: int
    second_conversion: str
    task: str
    keeps_state: bool
    loses_state: bool
    object_store: bool
    concurrency: int
    requests_per_second: float
    limit: float | None
    latency: tuple[float, float]
    others: list[tuple[float, int]]
    attempts: list[Attempt]


def draw(seed: int) -> Plan:
    """Draw the plan of a seed. The last process runs undisturbed."""
    rng = Random(seed)
    leads = rng.choice((1, 3, 8, 12, 20))
    task = rng.choice(("operator", "hook"))
    keeps_state = rng.random() < 0.7
    object_store = rng.random() < 0.5
    disturbed = [_attempt(rng, task, keeps_state, object_store) for _ in range(rng.choice((1, 2, 2, 3, 3, 4, 5)))]
    last = Attempt(_rerun(rng, task, keeps_state), _delay(rng), [], 0.0, [])
    slow = rng.random() < 0.2
    return Plan(
        seed=seed,
        leads=leads,
        bad_leads=rng.choice((0, 0, 2)),
        converted_before=rng.choice((0, 0, min(2, leads - 1))),
        conversions=rng.choice((0, 3, 3, 250)),
        second_conversion=rng.choice(("new", "new", "new", "new", "refuse", "not_found", "conflict", "same")),
        task=task,
        keeps_state=keeps_state,
        loses_state=rng.random() < 0.2,
        object_store=object_store,
        concurrency=rng.choice((1, 2, 4, 8, 16)),
        requests_per_second=rng.choice((5.0, 10.0, 30.0)),
        limit=rng.choice((None, None, 4.0, 10.0)),
        latency=(0.05, 3.0) if slow else (0.05, 0.5),
        others=_some(rng, 0.15, 2, lambda: (rng.uniform(0.0, 60.0), rng.randrange(leads))),
        attempts=[*disturbed, last],
    )


def _attempt(rng: Random, task: str, keeps_state: bool, object_store: bool) -> Attempt:
    return Attempt(
        rerun=_rerun(rng, task, keeps_state),
        delay=_delay(rng),
        faults=_some(rng, 0.8, 3, lambda: _fault(rng)),
        late_visibility=rng.choice((0.0, rng.uniform(0.0, SETTLE - MARGIN))),
        interruptions=_some(rng, 0.7, 2, lambda: _interruption(rng, task, _beside(task, keeps_state, object_store))),
    )


def _some(rng: Random, share: float, most: int, make: Callable[[], object]) -> list:
    return [make() for _ in range(rng.randint(1, most))] if rng.random() < share else []


def _delay(rng: Random) -> float:
    return rng.choice((0.0, 0.0, 0.0, rng.uniform(0.0, 20.0), 300.0))


def _rerun(rng: Random, task: str, keeps_state: bool) -> str:
    kinds = [*RERUNS, "new run over the results"]
    if task == "hook":
        kinds = [kind for kind in RERUNS if kind != "new run over the results"]
    if task == "hook" and not keeps_state:
        kinds.remove("reschedule")  # there is none in these versions of Airflow
    return rng.choice(["retry", "retry", *kinds])


def _fault(rng: Random) -> Fault:
    name = rng.choice(
        ("lost", "lost", "late_commit", "late_commit", "late_visible", "late_visible", "strange", "throttle", "read")
    )
    if name == "lost":
        return Fault(name=rng.choice(_LOST), share=rng.uniform(0.05, 0.6), method="POST")
    if name == "strange":
        return Fault(name=rng.choice(_STRANGE), share=rng.uniform(0.05, 0.6), method="POST")
    if name == "throttle":
        return Fault(name=rng.choice(_THROTTLES), share=rng.uniform(0.05, 0.4))
    if name == "read":
        return Fault(name=rng.choice(_READS), share=rng.uniform(0.05, 0.3), method="GET")
    if name == "late_commit":
        seconds = rng.choice((TIMEOUT - MARGIN, rng.uniform(0.0, TIMEOUT - MARGIN)))
        return Fault(name=name, share=rng.uniform(0.05, 0.6), seconds=seconds)
    seconds = rng.choice((SETTLE - MARGIN, rng.uniform(0.0, SETTLE - MARGIN)))
    share = rng.choice((1.0, rng.uniform(0.05, 1.0)))
    return Fault(name=rng.choice(("late_visible", "late_visible", "lookup_lag")), share=share, seconds=seconds)


def _beside(task: str, keeps_state: bool, object_store: bool) -> list[str]:
    """Return in which ways a process may meet its successor within what the documentation promises."""
    if task == "operator":  # on a disk, a lock keeps the successor away
        return ["suspend beside a successor", "zombie"] if object_store else []
    return ["suspend beside a successor"] if keeps_state else []


def _interruption(rng: Random, task: str, beside: list[str]) -> Interruption:
    kinds = ["kill", "kill", "terminate", "suspend", "revoke the token", "revoke the token", "outage"]
    kind = rng.choice([*kinds, *beside])
    by_time = rng.random() < 0.5
    moment = Moment(
        seconds=rng.choice((0.0, rng.uniform(0.0, 3.0), rng.uniform(0.0, 16.0), rng.uniform(0.0, 40.0)))
        if by_time
        else None,
        post=rng.choice((1, 1, 2, 3, 5, 8, 13)),
        phase=rng.choice(PHASES),
    )
    seconds = rng.choice((rng.uniform(0.1, 5.0), rng.uniform(5.0, 60.0), 3600.0))
    if kind == "outage":
        seconds = rng.choice((5.0, 30.0, 200.0))
    return Interruption(kind, moment, seconds, raises=task == "hook" or rng.random() < 0.5)
