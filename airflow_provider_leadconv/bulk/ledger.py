"""What is known of each lead of a batch, and what follows from a request's result or a row of the changefeed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from airflow_provider_leadconv.api.at_most_once import ConfirmedConversion, PendingLookup, Resolution
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import LeadConversionError, UnknownOutcomeError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionResult, ConversionStatus, LeadConversion


class ResumeState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known from earlier processes of the same run.

    :param start_watermark: the newest conversion before the first request of the first process. Conversions above it
        were made by this run.
    :param prechecked: whether the pre-check was completed for all these leads.
    :param known: leads that are converted, with the ids of their conversions.
    :param unconverted: leads that the last process left unconverted. If they are converted now, others did it.
    """

    start_watermark: int | None = None
    prechecked: bool = False
    known: Mapping[int, int] = {}
    unconverted: AbstractSet[int] = frozenset()


class Ledger:
    """Gives each lead one result, and counts the conversions of each.

    :param leads: each lead once; those known from the resume state are left out.
    """

    def __init__(self, leads: Iterable[ConversionRequest], resume_state: ResumeState) -> None:
        batch = {lead.lead_id: lead for lead in leads}
        self.leads = {lead_id: lead for lead_id, lead in batch.items() if lead_id not in resume_state.known}
        self.known_before = len(batch) - len(self.leads)
        """How many leads are left out."""
        self.resume_state = resume_state
        self.unresolved = set(self.leads)
        """Leads without a result."""
        self.in_flight: set[int] = set()
        """Leads whose request is under way, or ended in an unforeseen error."""
        self.pending: dict[int, PendingLookup] = {}
        """Leads that may be converted."""
        self.statuses: Counter[ConversionStatus] = Counter()
        self.start_watermark = resume_state.start_watermark
        """Newest conversion before the first request; 0 if there was none, ``None`` before the pre-check."""
        self.duplicates: dict[int, set[int]] = {}
        """Leads converted twice since the start watermark, with the ids of their conversions."""
        self._resending: set[int] = set()
        self._unseen: set[int] = set()  # ids of conversions that a response confirmed, and no listing has shown yet
        self._conversion_ids = dict(resume_state.known)
        self._observed_in_flight: dict[int, LeadConversion] = {}

    @property
    def resolve_times(self) -> list[float]:
        """When the pending look-ups can be resolved. Leads that are being sent again are not among them."""
        return [pending.resolve_at for lead_id, pending in self.pending.items() if lead_id not in self._resending]

    @property
    def is_settled(self) -> bool:
        """Whether a later process would find every conversion of this one: all outcomes are known, and are listed."""
        return not (self._unseen or self.statuses[ConversionStatus.UNKNOWN])

    def observe(self, rows: Iterable[LeadConversion]) -> Iterator[ConversionResult]:
        """Take conversions from the changefeed or a look-up. A request under way is waited for first."""
        for row in rows:
            self._unseen.discard(row.id)
            if row.lead_id in self.leads or row.lead_id in self._conversion_ids:
                self._count(row)
            if row.lead_id in self.in_flight:
                self._observed_in_flight[row.lead_id] = row
            elif row.lead_id in self.unresolved:
                yield self._converted(row, ours=self._is_of_earlier_process(row.lead_id))

    def is_observed_in_flight(self, lead_id: int) -> bool:
        """Return whether a lead was seen converted since it was about to be sent. Threads may ask."""
        return lead_id in self._observed_in_flight

    def send(self, lead_id: int) -> tuple[ConversionRequest, bool]:
        """Note that a lead is about to be sent.

        :return: the lead, and whether an earlier request may have converted it.
        """
        self.in_flight.add(lead_id)
        return self.leads[lead_id], lead_id in self.pending

    def converted(self, attempt: ConfirmedConversion) -> ConversionResult:
        """Note a lead that an attempt found converted, maybe long ago."""
        conversion = attempt.conversion
        observed = self._observed_in_flight.get(conversion.lead_id)
        if attempt.from_response and (observed is None or observed.id != conversion.id):
            self._unseen.add(conversion.id)
        return self._converted(conversion, ours=attempt.from_response)

    def unknown(
        self, lead_id: int, error: UnknownOutcomeError, *, config: ClientConfig, now: float
    ) -> ConversionResult | None:
        """Note a request whose outcome is unknown.

        :return: the result, if the changefeed has shown it already.
        """
        pending = PendingLookup.after_unknown(error, self.pending.get(lead_id), config=config, now=now)
        self._await_lookup(lead_id, pending)
        return self._observed_meanwhile(lead_id)

    def refused(
        self, lead_id: int, error: LeadConversionError, *, config: ClientConfig, now: float
    ) -> ConversionResult | None:
        """Note a request that was refused, for a lead that a look-up then did not find converted.

        :return: the result, if no conversion is to be expected.
        """
        if observed := self._observed_meanwhile(lead_id):
            return observed
        pending = PendingLookup.after_refusal(error, self.pending.get(lead_id), config=config, now=now)
        if pending is None:
            return self.end(lead_id, ConversionStatus.FAILED, error=error)
        self._await_lookup(lead_id, pending)
        return None

    def held_back(self, lead_id: int) -> ConversionResult | None:
        """Note a request that was not sent, for a reason that passes: the lead is to be sent later.

        :return: the result, if the changefeed has shown it already.
        """
        if observed := self._observed_meanwhile(lead_id):
            return observed
        self.in_flight.discard(lead_id)
        return None

    def had_no_effect(self, lead_id: int, error: LeadConversionError) -> ConversionResult:
        """Note a request that certainly had no effect, for a reason that ends the run."""
        if observed := self._observed_meanwhile(lead_id):
            return observed
        status = ConversionStatus.UNKNOWN if lead_id in self.pending else ConversionStatus.NOT_ATTEMPTED
        return self.end(lead_id, status, error=error)

    def resolve(self, read_at: float, *, send_again: bool) -> tuple[list[ConversionResult], list[int]]:
        """Decide on pending leads that the changefeed does not contain, if it was read late enough to show them.

        :param read_at: when the reading began.
        :param send_again: whether a lead may be sent again.
        :return: results, and the leads to send again.
        """
        results, again = [], []
        for lead_id, pending in list(self.pending.items()):
            if lead_id in self._resending or pending.resolve_at > read_at:
                continue
            resolution = pending.resolve()
            if resolution is Resolution.SEND_AGAIN and send_again:
                self._resending.add(lead_id)
                again.append(lead_id)
                continue
            status = ConversionStatus.FAILED if resolution is Resolution.FAILED else ConversionStatus.UNKNOWN
            results.append(self.end(lead_id, status, error=pending.error))
        return results, again

    def abandon(self, reason: LeadConversionError | None) -> Iterator[ConversionResult]:
        """Give a result to every lead that has none, without further requests. Leads that were sent come first."""
        sent = self.unresolved & (self.in_flight | self.pending.keys())
        for lead_id in [lead_id for lead_id in self.leads if lead_id in sent]:
            if observed := self._observed_meanwhile(lead_id, ours=True):
                yield observed
                continue
            error: LeadConversionError = UnknownOutcomeError("the run ended before the response to its request came")
            if lead_id in self.pending:
                error = self.pending[lead_id].error
            yield self.end(lead_id, ConversionStatus.UNKNOWN, error=error)
        for lead_id in [lead_id for lead_id in self.leads if lead_id in self.unresolved]:
            yield self.end(lead_id, ConversionStatus.NOT_ATTEMPTED, error=reason)

    def end(
        self,
        lead_id: int,
        status: ConversionStatus,
        *,
        conversion: LeadConversion | None = None,
        error: LeadConversionError | None = None,
    ) -> ConversionResult:
        """Give a lead its result."""
        self.unresolved.discard(lead_id)
        self.in_flight.discard(lead_id)
        self.pending.pop(lead_id, None)
        self._resending.discard(lead_id)
        self._observed_in_flight.pop(lead_id, None)
        self.statuses[status] += 1
        return ConversionResult(lead_id=lead_id, status=status, conversion=conversion, error=error)

    def audit(self, rows: Iterable[LeadConversion]) -> None:
        """Count the conversions of each lead in rows of the changefeed."""
        for row in rows:
            self._unseen.discard(row.id)
            if row.lead_id in self._conversion_ids:
                self._count(row)

    def _is_of_earlier_process(self, lead_id: int) -> bool:
        """Whether a conversion that this process did not send for was made by an earlier process of the run."""
        return self.resume_state.start_watermark is not None and lead_id not in self.resume_state.unconverted

    def _observed_meanwhile(self, lead_id: int, *, ours: bool = False) -> ConversionResult | None:
        """End a lead that the changefeed has shown while its request was under way."""
        observed = self._observed_in_flight.get(lead_id)
        return self._converted(observed, ours=ours) if observed else None

    def _converted(self, conversion: LeadConversion, *, ours: bool) -> ConversionResult:
        """End a lead as converted by this run or by others. What is not above the start watermark was there before."""
        self._count(conversion)
        pending = self.pending.get(conversion.lead_id)
        ours = ours or (pending is not None and pending.requests > 0)
        is_new = conversion.id > (self.start_watermark or 0)
        status = ConversionStatus.CONVERTED if ours and is_new else ConversionStatus.EXISTING
        return self.end(conversion.lead_id, status, conversion=conversion)

    def _await_lookup(self, lead_id: int, pending: PendingLookup) -> None:
        self.in_flight.discard(lead_id)
        self._resending.discard(lead_id)
        self.pending[lead_id] = pending

    def _count(self, row: LeadConversion) -> None:
        first = self._conversion_ids.setdefault(row.lead_id, row.id)
        if first != row.id and max(first, row.id) > (self.start_watermark or 0):
            self.duplicates.setdefault(row.lead_id, set()).update((first, row.id))
