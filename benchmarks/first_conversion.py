"""Time to the first conversion and to the last, beside the optimum of a small model; on a simulated clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from statistics import median

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus
from airflow_provider_leadconv.api.rate_limiting.limiter import AdaptiveRateLimiter
from airflow_provider_leadconv.bulk.engine import BulkConversion
from airflow_provider_leadconv.bulk.suspension import SuspensionDetector
from benchmarks.first_conversion_model import PAGE, RATE, optimum
from benchmarks.results import Measured
from benchmarks.showing import markdown
from benchmarks.simulated_account import SimulatedAccount
from tests.support.bulk_simulation import SimulatedWorkers, World

SECTION = "first_conversion"
LEADS = (10, 100, 1_000, 10_000)
CONVERSIONS = (0, 1_000, 10_000, 100_000)
LATENCIES = (0.05, 0.2, 0.5)
WARM, COLD, OPTIMUM = "ours", "ours, cold start", "optimum"
COLD_LEADS = 100
"""A cold start is over within seconds, so it is measured with at most so many leads."""


def measure(
    *,
    leads: Sequence[int] = LEADS,
    conversions: Sequence[int] = CONVERSIONS,
    latencies: Sequence[float] = LATENCIES,
) -> Iterator[Measured]:
    """Run the real code on a simulated clock in each cell, none of the leads being converted."""
    for count, existing, latency in product(leads, conversions, latencies):
        case = case_name(count, existing, latency)
        yield Measured(SECTION, case, OPTIMUM, _figures(*optimum(count, -(-existing // PAGE) or 1, latency)))
        yield Measured(SECTION, case, WARM, _figures(*_run(count, existing, latency, is_warm=True)))
        if count <= COLD_LEADS:
            yield Measured(SECTION, case, COLD, _figures(*_run(count, existing, latency, is_warm=False)))


def case_name(leads: int, conversions: int, latency: float) -> str:
    return f"{leads:,} leads, {conversions:,} conversions, {1e3 * latency:g} ms"


def _figures(first: float, total: float) -> dict[str, list[float]]:
    return {"first_s": [round(first, 3)], "total_s": [round(total, 3)]}


def _run(leads: int, conversions: int, latency: float, *, is_warm: bool) -> tuple[float, float]:
    """Return the seconds until the first conversion was answered, and until the run's end."""
    world = World()
    world.start_process()
    config = ClientConfig(token="token", base_url="http://127.0.0.1", requests_per_second=RATE)
    limiter = AdaptiveRateLimiter(RATE, start_rate=RATE if is_warm else None, clock=world)
    account = SimulatedAccount(world, conversions, latency)
    client = LeadConversionsClient(config, transport=account, limiter=limiter, clock=world, sleep=world.sleep)
    job = BulkConversion(
        client,
        [ConversionRequest(number) for number in range(1, leads + 1)],
        workers=SimulatedWorkers(world),  # type: ignore[arg-type]  # stands in for `Workers`
        suspension=SuspensionDetector(world),
    )
    first = None
    for result in job.convert():
        assert result.status is ConversionStatus.CONVERTED, result
        first = world.now if first is None else first
    assert first is not None
    assert len(account.converted) == leads
    return first, world.now


def table(rows: Sequence[Measured]) -> str:
    """Markdown: a line for each number of leads and conversions, with the three latencies side by side."""
    found = {(row.case, row.contestant): row.figures for row in rows}
    lines = []
    for count, existing in product(LEADS, CONVERSIONS):
        cells = []
        for latency in LATENCIES:
            case = case_name(count, existing, latency)
            if (case, WARM) not in found:
                cells += ["", "", ""]
                continue
            ours, best = found[case, WARM], found[case, OPTIMUM]
            over = ours["total_s"][0] / best["total_s"][0] - 1
            cells += [f"{ours['first_s'][0]:.1f}", f"{ours['total_s'][0]:.1f}", f"{over:+.0%}"]
        if any(cells):
            lines.append([f"{count:,}", f"{existing:,}", *cells])
    header = ["leads", "conversions before"]
    header += [
        f"{1e3 * latency:g} ms: {what}" for latency in LATENCIES for what in ("first, s", "all, s", "to optimum")
    ]
    return f"{markdown(header, lines)}\n\n{_cold_start(found)}"


def _cold_start(found: dict[tuple[str, str], dict[str, list[float]]]) -> str:
    added = [
        figures["total_s"][0] - found[case, WARM]["total_s"][0]
        for (case, contestant), figures in found.items()
        if contestant == COLD
    ]
    if not added:
        return ""
    return (
        f"If the rate limiter has to find the rate first, a run takes {median(added):.1f} s longer in the median, and "
        f"{max(added):.1f} s at most."
    )
