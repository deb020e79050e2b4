"""The progress lines of a bulk conversion: percent and time left first."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.models import ConversionStatus
from airflow_provider_leadconv.bulk.ledger import Ledger
from airflow_provider_leadconv.progress import Progress, share_done


class ProgressLine:
    """Says how many leads have a result, and when the last one may get its own.

    :param client: counts the requests.
    """

    def __init__(self, client: LeadConversionsClient, ledger: Ledger) -> None:
        self._client = client
        self._ledger = ledger
        self._started: float | None = None

    def start(self) -> None:
        """Measure the rate from now on."""
        self._started = self._client.clock()

    def line(self, unchecked: int) -> Progress:
        """Return the line.

        :param unchecked: how many leads the pre-check has neither found nor cleared.
        """
        ledger = self._ledger
        counts, kept = ledger.statuses, ledger.known_before
        done, total = counts.total() + kept, len(ledger.leads) + kept
        sent = counts[ConversionStatus.CONVERTED] + counts[ConversionStatus.FAILED]
        rate = sent / max(self._client.clock() - self._started, 1e-9) if self._started is not None else 0.0
        words = (
            f"{kept} by an earlier attempt" if kept else "",
            f"{counts[ConversionStatus.CONVERTED]} converted",
            f"{counts[ConversionStatus.EXISTING]} existing",
            f"{counts[ConversionStatus.FAILED]} failed",
            f"{len(ledger.pending)} unknown",
            f"{unchecked} to check" if unchecked else "",
        )
        text = (
            f"{share_done(done, total, rate)}: {done} of {total} leads ({', '.join(filter(None, words))}); "
            f"{rate:.1f} leads/s, {self._client.counters.throttled} requests throttled"
        )
        return Progress(text, done, total, rate, counts[ConversionStatus.FAILED])


def waiting_line(reason: str, end: float, seconds: float, clock: Callable[[], float]) -> Callable[[], str]:
    """Return what makes the line of a wait.

    :param reason: what the wait is for.
    :param end: when it ends, on the clock.
    :param seconds: how long it is.
    """

    def line() -> str:
        return f"{share_done(max(0.0, seconds - (end - clock())), seconds, 1.0)}: waiting {reason}"

    return line
