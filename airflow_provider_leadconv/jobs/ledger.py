"""What is known of each lead of a batch, and what follows from a request's result or a row of the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

import msgspec

from airflow_provider_leadconv.api.errors import LeadConversionError, UnknownOutcomeError
from airflow_provider_leadconv.api.records import ConversionOutcome, ConversionRequest, LeadConversion, Outcome

MAX_REQUESTS = 6
"""Requests for one lead that may end without a usable answer. One in eight does on a bad day, and a batch is large."""

_ALREADY = "already_exists"


class Before(msgspec.Struct, frozen=True, kw_only=True):
    """What is known from earlier processes of the same run.

    :param start_mark: the newest conversion before the first request of the first of them. What is above it was made
        by this run.
    :param looked: whether everything up to the start mark was looked at for all these leads.
    :param known: leads that are converted, with the ids of their conversions.
    :param unconverted: leads that the last process had done with unconverted; if they are converted now, others did it.
    """

    start_mark: int | None = None
    looked: bool = False
    known: Mapping[int, int] = {}
    unconverted: AbstractSet[int] = frozenset()


class Doubt(msgspec.Struct, kw_only=True):
    """A lead of which nobody knows whether it is converted.

    :param error: what the last request came to.
    :param judge_at: from when on absence from the log means "not converted", on the client's clock; ``None`` once the
        lead was judged absent and is to be sent again.
    :param requests: how many requests for the lead ended without a usable answer.
    :param refused: whether the last one was refused, which stands if the lead is absent.
    """

    error: LeadConversionError
    judge_at: float | None
    requests: int
    refused: bool


class Ledger:
    """Gives each lead one outcome, and counts the conversions of each.

    :param leads: each lead once; those known from before are left out.
    """

    def __init__(self, leads: Iterable[ConversionRequest], before: Before) -> None:
        batch = {lead.lead_id: lead for lead in leads}
        self.leads = {lead_id: lead for lead_id, lead in batch.items() if lead_id not in before.known}
        self.kept = len(batch) - len(self.leads)
        """How many leads are left out."""
        self.before = before
        self.open = set(self.leads)
        """Leads without an outcome."""
        self.in_flight: set[int] = set()
        """Leads whose request is under way, or ended in an error nobody foresaw."""
        self.doubts: dict[int, Doubt] = {}
        self.outcomes: Counter[Outcome] = Counter()
        self.start_mark = before.start_mark
        """Newest conversion before the first request; 0 if there was none, ``None`` if nobody has looked."""
        self.duplicates: dict[int, set[int]] = {}
        """Leads converted twice since the start mark, with the ids of their conversions."""
        self._conversion_ids = dict(before.known)
        self._seen_in_flight: dict[int, LeadConversion] = {}

    @property
    def judgements(self) -> list[float]:
        """When the doubts that wait for it can be judged."""
        return [doubt.judge_at for doubt in self.doubts.values() if doubt.judge_at is not None]

    def meet(self, rows: Iterable[LeadConversion]) -> Iterator[ConversionOutcome]:
        """Take note of conversions that the log or a look-up shows. A request under way is waited for first."""
        for row in rows:
            if row.lead_id in self.leads or row.lead_id in self._conversion_ids:
                self._count(row)
            if row.lead_id in self.in_flight:
                self._seen_in_flight[row.lead_id] = row
            elif row.lead_id in self.open:
                yield self._converted(row, ours=self._is_from_before(row.lead_id))

    def send(self, lead_id: int) -> tuple[ConversionRequest, bool]:
        """Note that a lead is about to be sent.

        :return: the lead, and whether an earlier request may have converted it.
        """
        self.in_flight.add(lead_id)
        return self.leads[lead_id], lead_id in self.doubts

    def answered(self, conversion: LeadConversion) -> ConversionOutcome:
        """Note a request that was answered with a conversion, an old one maybe."""
        return self._converted(conversion, ours=True)

    def found(self, conversion: LeadConversion) -> ConversionOutcome:
        """Note a lead that a look-up found converted, though no request was answered so."""
        return self._converted(conversion, ours=False)

    def unanswered(self, lead_id: int, error: UnknownOutcomeError, judge_at: float) -> ConversionOutcome | None:
        """Note a request whose effect is unknown.

        :return: the outcome, if the log has shown it already.
        """
        self._doubt(lead_id, error, judge_at, refused=False)
        return self._seen_meanwhile(lead_id)

    def refused(self, lead_id: int, error: LeadConversionError, judge_at: float) -> ConversionOutcome | None:
        """Note a request that was refused, for a lead that a look-up then did not find converted.

        :param judge_at: when a conversion that the refusal may know of is visible.
        :return: the outcome, if no conversion is to be expected.
        """
        if seen := self._seen_meanwhile(lead_id):
            return seen
        if lead_id not in self.doubts and error.code != _ALREADY:
            return self.end(lead_id, Outcome.FAILED, error=error)
        self._doubt(lead_id, error, judge_at, refused=True)
        return None

    def unsent(self, lead_id: int, error: LeadConversionError) -> ConversionOutcome:
        """Note a request that certainly did nothing, for a reason that ends the run."""
        if seen := self._seen_meanwhile(lead_id):
            return seen
        outcome = Outcome.UNKNOWN if lead_id in self.doubts else Outcome.NOT_ATTEMPTED
        return self.end(lead_id, outcome, error=error)

    def judge(self, read_at: float, *, send_again: bool) -> tuple[list[ConversionOutcome], list[int]]:
        """Decide on leads absent from a log read when the server must have been done with them.

        :param read_at: when the reading began.
        :param send_again: whether a lead may be sent again.
        :return: outcomes, and the leads to send again.
        """
        ended, again = [], []
        for lead_id, doubt in list(self.doubts.items()):
            if doubt.judge_at is None or doubt.judge_at > read_at:
                continue
            if doubt.refused and not (doubt.requests and doubt.error.code == _ALREADY):
                ended.append(self.end(lead_id, Outcome.FAILED, error=doubt.error))
            elif not doubt.refused and send_again and doubt.requests < MAX_REQUESTS:
                doubt.judge_at = None
                again.append(lead_id)
            else:
                ended.append(self.end(lead_id, Outcome.UNKNOWN, error=doubt.error))
        return ended, again

    def abandon(self, reason: LeadConversionError | None) -> Iterator[ConversionOutcome]:
        """Give an outcome to every lead that has none, as nothing more will be asked. Those that matter come first."""
        sent = self.open & (self.in_flight | self.doubts.keys())
        for lead_id in [lead_id for lead_id in self.leads if lead_id in sent]:
            if seen := self._seen_meanwhile(lead_id, ours=True):
                yield seen
                continue
            error: LeadConversionError = UnknownOutcomeError("the run ended before the answer to its request came")
            if lead_id in self.doubts:
                error = self.doubts[lead_id].error
            yield self.end(lead_id, Outcome.UNKNOWN, error=error)
        for lead_id in [lead_id for lead_id in self.leads if lead_id in self.open]:
            yield self.end(lead_id, Outcome.NOT_ATTEMPTED, error=reason)

    def end(
        self,
        lead_id: int,
        outcome: Outcome,
        *,
        conversion: LeadConversion | None = None,
        error: LeadConversionError | None = None,
    ) -> ConversionOutcome:
        """Give a lead its outcome."""
        self.open.discard(lead_id)
        self.in_flight.discard(lead_id)
        self.doubts.pop(lead_id, None)
        self._seen_in_flight.pop(lead_id, None)
        self.outcomes[outcome] += 1
        return ConversionOutcome(lead_id=lead_id, outcome=outcome, conversion=conversion, error=error)

    def audit(self, rows: Iterable[LeadConversion]) -> None:
        """Count the conversions of each lead in rows of the log."""
        for row in rows:
            if row.lead_id in self._conversion_ids:
                self._count(row)

    def _is_from_before(self, lead_id: int) -> bool:
        """Whether a conversion nobody has sent for in this process was made by an earlier one."""
        return self.before.start_mark is not None and lead_id not in self.before.unconverted

    def _seen_meanwhile(self, lead_id: int, *, ours: bool = False) -> ConversionOutcome | None:
        """End a lead that the log has shown while its request was under way."""
        seen = self._seen_in_flight.get(lead_id)
        return self._converted(seen, ours=ours) if seen else None

    def _converted(self, conversion: LeadConversion, *, ours: bool) -> ConversionOutcome:
        """End a lead as converted by this job, or by others: what is not above the start mark was there before."""
        self._count(conversion)
        doubt = self.doubts.get(conversion.lead_id)
        ours = ours or (doubt is not None and doubt.requests > 0)
        outcome = Outcome.CONVERTED if ours and conversion.id > (self.start_mark or 0) else Outcome.EXISTING
        return self.end(conversion.lead_id, outcome, conversion=conversion)

    def _doubt(self, lead_id: int, error: LeadConversionError, judge_at: float, *, refused: bool) -> None:
        self.in_flight.discard(lead_id)
        before = self.doubts[lead_id].requests if lead_id in self.doubts else 0
        requests = before if refused else before + 1
        self.doubts[lead_id] = Doubt(error=error, judge_at=judge_at, requests=requests, refused=refused)

    def _count(self, row: LeadConversion) -> None:
        first = self._conversion_ids.setdefault(row.lead_id, row.id)
        if first != row.id and max(first, row.id) > (self.start_mark or 0):
            self.duplicates.setdefault(row.lead_id, set()).update((first, row.id))
