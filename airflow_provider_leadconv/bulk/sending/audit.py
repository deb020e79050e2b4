"""The audit at the end of a run: was a lead converted twice?"""

from __future__ import annotations

import logging
from functools import partial

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.exceptions import LeadConversionError
from airflow_provider_leadconv.bulk.changefeed_head import read_head
from airflow_provider_leadconv.bulk.ledger import Ledger
from airflow_provider_leadconv.bulk.progress_line import waiting_line
from airflow_provider_leadconv.bulk.sending.head_reader import HeadReader
from airflow_provider_leadconv.bulk.workers import Dispatcher

log = logging.getLogger(__name__)


class Audit:
    """Reads the changefeed once more, late enough to see a second conversion of a lead that was sent twice.

    :param ledger: receives the rows.
    :param head: has the overlap window.
    """

    def __init__(self, client: LeadConversionsClient, dispatcher: Dispatcher, ledger: Ledger, head: HeadReader) -> None:
        self._client = client
        self._dispatcher = dispatcher
        self._ledger = ledger
        self._head = head
        self._due_at = client.clock()

    def schedule(self, due_at: float) -> None:
        """Set when the changefeed shows what the requests so far have converted.

        :param due_at: on the client's clock.
        """
        self._due_at = max(self._due_at, due_at)

    def run(self) -> None:
        """Wait until the audit is due, and read. If that fails, the audit is skipped, with a warning."""
        self._wait()
        if self._dispatcher.killed:
            return
        try:
            head = self._dispatcher.result_of(
                partial(read_head, self._client, self._head.window),
                lambda: "100 %: checking for duplicate conversions",
            )
        except LeadConversionError as error:
            log.warning("Skipped the duplicate check: could not read conversions: %s", error)
            return
        if head:
            self._ledger.audit(head.rows)

    def _wait(self) -> None:
        seconds = max(self._due_at - self._client.clock(), 0.0)
        line = waiting_line("to check for duplicate conversions", self._due_at, seconds, self._client.clock)
        self._dispatcher.wait_until(self._due_at, line)
