"""What a later process of the run must know, recorded once each: the start watermark, that leads are sent, the end."""

from __future__ import annotations

from airflow_provider_leadconv.bulk.ledger import Ledger
from airflow_provider_leadconv.bulk.sending_marker import SendingMarker
from airflow_provider_leadconv.bulk.workers import Dispatcher


class RunObserver:
    """Is notified of what a later process must know. Does nothing by default."""

    def start_watermark_known(self, start_watermark: int) -> None:
        """Called before the first conversion is sent.

        :param start_watermark: id of the newest conversion; 0 if there is none.
        """

    def all_checked(self, checks: int) -> None:
        """Called when the pre-check is complete, which may be after the first conversions.

        :param checks: how many requests it took.
        """


class Milestones:
    """Records the milestones of a run, by its marker and its observer.

    :param ledger: has the start watermark once it is known.
    :param dispatcher: knows whether the run was killed. Then nothing is reported to the observer.
    """

    def __init__(self, ledger: Ledger, dispatcher: Dispatcher, marker: SendingMarker, observer: RunObserver) -> None:
        self.is_sending = False
        """Whether conversions may have been sent."""
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._marker = marker
        self._observer = observer
        self._is_watermark_noted = False
        self._is_checked = False

    @property
    def may_have_requests_in_flight(self) -> bool:
        """Whether an earlier process may have left requests behind."""
        return self._marker.is_set()

    def note_start_watermark(self) -> None:
        """Report the start watermark, if it is known."""
        if not self._is_watermark_noted and self._ledger.start_watermark is not None and not self._dispatcher.killed:
            self._is_watermark_noted = True
            self._observer.start_watermark_known(self._ledger.start_watermark)

    def note_sending(self) -> None:
        """Record durably that conversions are about to be sent, after the start watermark."""
        if not self.is_sending:
            self.is_sending = True
            self.note_start_watermark()
            self._marker.set()

    def note_all_checked(self, checks: int) -> None:
        """Report that every lead is checked.

        :param checks: how many requests it took.
        """
        if not (self._is_checked or self._dispatcher.killed):
            self._is_checked = True
            self._observer.all_checked(checks)

    def note_all_resolved(self) -> None:
        """Record that the outcome of every request is known, and that every conversion is listed."""
        self._marker.clear()
