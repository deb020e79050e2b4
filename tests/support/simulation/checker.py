"""What must be true of every simulation, judged by the server's record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from airflow_provider_leadconv.bulk.checking.cleared_leads import MAX_CLEARANCE_AGE
from tests.support.simulation.history import History, Made, Outcome
from tests.support.simulation.plan import SETTLE, Plan

_EPSILON = 1e-6


def violations(history: History, plan: Plan, good: Iterable[int], bad: Iterable[int]) -> list[str]:
    """Return what is wrong with a simulation.

    :param good: leads that can be converted.
    :param bad: leads that cannot.
    """
    found = [
        *_doubles(history, plan),
        *_lost(history, good),
        *_markers(history),
        *_stale(history),
        *_rates(history, plan),
    ]
    for outcome in history.outcomes:
        found += _untrue(history, outcome, set(bad))
    return found


def _ours(history: History) -> list[Made]:
    return [made for made in history.made if made.post]


def _doubles(history: History, plan: Plan) -> Iterable[str]:
    """No lead is converted twice by us. A suspension beside a successor: one lead for each worker thread, and the
    audit finds them unless the process is killed before.
    """
    counts = Counter(made.lead_id for made in _ours(history))
    excused: Counter[int] = Counter()
    for lead_id in [lead_id for lead_id, count in counts.items() if count > 1]:
        stale = {
            made.post.process
            for made in _ours(history)
            if made.lead_id == lead_id
            and made.post.sent_at <= history.suspended_beside_successor.get(made.post.process, -1.0)
        }
        if not stale or counts[lead_id] > 2:
            yield f"lead {lead_id} was converted {counts[lead_id]} times"
        elif any(lead_id not in history.audits.get(process, {lead_id}) for process in stale):
            yield f"lead {lead_id} was converted twice around a suspension, and no audit found it"
        excused.update(stale)
    for process, leads in excused.items():
        if leads > plan.concurrency:
            yield f"{leads} leads were converted twice after one suspension of P{process}"


def _lost(history: History, good: Iterable[int]) -> Iterable[str]:
    converted = {made.lead_id for made in history.made}
    for lead_id in good:
        if lead_id not in converted:
            yield f"lead {lead_id} was never converted"
    last = history.outcomes[-1] if history.outcomes else None
    if last is None:
        yield "no process came to its end"
        return
    for lead_id, (status, _) in last.results.items():
        if status in {"unknown", "not_attempted"}:
            yield f"lead {lead_id} is {status} after an undisturbed last process"


def _untrue(history: History, outcome: Outcome, bad: set[int]) -> Iterable[str]:
    """Every result is true, and every lead has one."""
    if sorted(outcome.batch) != sorted(outcome.results):
        yield f"P{outcome.process}: a lead has more than one result"
    contested = {made.lead_id for made in history.made if made.post is None and made.time > 0.0}
    if outcome.process in history.suspended_beside_successor:
        contested |= set(outcome.batch)
    for lead_id, (status, conversion_id) in outcome.results.items():
        made = [one for one in history.made if one.lead_id == lead_id]
        own = {one.conversion_id for one in made if one.post and one.post.process in outcome.own_processes}
        others = {one.conversion_id for one in made} - own
        is_true = {
            "converted": conversion_id in own,
            "existing": conversion_id in others,
            "failed": lead_id in bad and not made,
            "unknown": True,
            "not_attempted": not own,
        }[status]
        if lead_id in contested and status in {"converted", "existing"}:
            is_true = conversion_id in own | others
        elif lead_id in contested and status == "failed":
            is_true = not own
        if not is_true:
            yield (
                f"P{outcome.process} reports lead {lead_id} as {status}, conversion {conversion_id}; "
                f"own conversions: {sorted(own)}, others: {sorted(others)}"
            )


def _markers(history: History) -> Iterable[str]:
    """What is recorded as resolved has no effect later."""
    for moment, run in history.cleared:
        for made in _ours(history):
            if made.post.process in history.suspended_beside_successor:
                continue
            if made.post.run == run and made.post.sent_at < moment < made.time:
                yield f"lead {made.lead_id} was converted after {run} had recorded that all outcomes are known"


def _stale(history: History) -> Iterable[str]:
    """Nothing is sent for a lead that others had converted before its clearance could expire."""
    for post in history.posts:
        for made in history.made:
            is_others = made.lead_id == post.lead_id and made.post is None
            if is_others and post.sent_at - made.time > MAX_CLEARANCE_AGE + SETTLE + _EPSILON:
                yield f"P{post.process} sends lead {post.lead_id}, converted {post.sent_at - made.time:.0f} s before"


def _rates(history: History, plan: Plan) -> Iterable[str]:
    """n requests take at least n - 1.5 intervals."""
    for process, times in history.request_times.items():
        latest = float("-inf")
        for number, moment in enumerate(times):
            lead = number - moment * plan.requests_per_second
            latest = max(latest, -lead)
            if latest + lead > 0.5 + _EPSILON:
                yield f"P{process} sent requests faster than {plan.requests_per_second}/s"
                break
