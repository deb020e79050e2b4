"""State of the simulated Sell account: leads, users and conversions, without HTTP."""

from __future__ import annotations

import heapq
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from itertools import count, islice
from random import Random
from threading import RLock
from typing import TYPE_CHECKING, Literal

import msgspec

from airflow_provider_leadconv.sandbox.history import RecordedConversion
from airflow_provider_leadconv.sandbox.table import (
    FIRST_CONTACT_ID,
    FIRST_CONVERSION_ID,
    FIRST_DEAL_ID,
    FIRST_LEAD_ID,
    ConversionTable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_provider_leadconv.sandbox.schemas import Conversion

LeadKind = Literal["individual", "organization", "both"]
Refusal = Literal["unknown_lead", "unknown_owner", "unconvertible", "converted"]

LEAD_KINDS: tuple[LeadKind, ...] = ("individual", "organization", "both")
FIRST_USER_ID = 2_100_001
USERS = 5


class Lead(msgspec.Struct, frozen=True):
    """A lead: what it is converted to, its owner, and whether it can be converted."""

    id: int
    kind: LeadKind
    owner_id: int
    convertible: bool = True


class ConversionRefusedError(Exception):
    """The lead cannot be converted.

    :param reason: why not.
    :param existing: the existing conversion of a converted lead, if it has not been removed.
    """

    def __init__(self, reason: Refusal, existing: Conversion | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.existing = existing


class Store:
    """A Sell account, the same for the same seed. Safe to use from several threads.

    :param leads: number of leads that can be converted.
    :param conversions: number of existing conversions.
    :param seed: decides ids, kinds and gaps.
    :param clock: seconds of a monotonic clock; decides what is visible.
    :param wall_clock: epoch seconds; decides ``created_at`` of new conversions.
    """

    def __init__(
        self,
        *,
        leads: int = 0,
        conversions: int = 0,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.owners = tuple(range(FIRST_USER_ID, FIRST_USER_ID + USERS))
        self._clock = clock
        self._wall_clock = wall_clock
        self._rng = Random(seed)  # noqa: S311 - reproducible data, not secrets
        self._lock = RLock()
        self._table = ConversionTable()
        self._table.fill(conversions, self.owners, self._rng)
        self._converted = self._table.index("lead_id")
        self._leads: dict[int, Lead] = {}
        self._last_id = self._table.ids[-1] if conversions else FIRST_CONVERSION_ID
        # Above all generated ids: lead ids are spread over blocks of 64.
        self._last_lead_id = FIRST_LEAD_ID + 7 * (conversions + 64)
        self._last_contact_id = FIRST_CONTACT_ID + 2 * conversions
        self._last_deal_id = FIRST_DEAL_ID + 3 * conversions
        # By id: all that were made or removed since.
        self._recorded: dict[int, RecordedConversion] = {}
        self._late_commits: list[tuple[float, int, partial[Conversion]]] = []
        self._sequence = count()
        self.add_leads(leads)

    def add_leads(self, number: int, *, convertible: bool = True) -> list[int]:
        """Add leads.

        :param number: how many.
        :param convertible: False for leads that the API refuses to convert.
        :return: their ids.
        """
        with self._lock:
            return [self._add_lead(convertible).id for _ in range(number)]

    @property
    def leads(self) -> list[int]:
        """Ids of the leads that can be converted and have not been."""
        with self._lock:
            self._commit_late()
            return [lead.id for lead in self._leads.values() if lead.convertible and lead.id not in self._converted]

    @property
    def conversions(self) -> list[Conversion]:
        """All conversions, newest first, visible or not."""
        with self._lock:
            self._commit_late()
            return [self._table.record(position) for position in self._table.positions_below(None)]

    @property
    def conversion_counts(self) -> Counter[int]:
        """Lead id -> how often it was converted, removed conversions included; 0 for a lead that was not."""
        with self._lock:
            self._commit_late()
            return Counter({lead_id: len(ids) for lead_id, ids in self._converted.items()})

    @property
    def history(self) -> list[RecordedConversion]:
        """All conversions in ascending order of id, including removed ones."""
        with self._lock:
            self._commit_late()
            initial = (
                self._table.record(position)
                for position, id_ in enumerate(self._table.ids)
                if id_ not in self._recorded
            )
            recorded = [*map(RecordedConversion, initial), *self._recorded.values()]
            return sorted(recorded, key=lambda each: each.conversion.id)

    @property
    def top(self) -> int:
        """An id above all existing ones."""
        return self._last_id + 1

    def convert(
        self,
        lead_id: int,
        *,
        owner_id: int | None = None,
        create_deal: bool = True,
        creator_id: int | None = None,
        again: bool = False,
        visible_after: float = 0.0,
        lookup_after: float = 0.0,
        request_id: str | None = None,
    ) -> Conversion:
        """Convert a lead.

        :param owner_id: owner of the created objects; None for the lead's owner.
        :param creator_id: user who converts the lead.
        :param again: whether a converted lead may be converted once more.
        :param visible_after: seconds until the conversion is visible.
        :param lookup_after: seconds until look-ups by lead or created object find it.
        :param request_id: id of the request that converts it; None if another user does.
        :raises ConversionRefusedError: it cannot be converted.
        """
        with self._lock:
            self._commit_late()
            earlier = self._converted.get(lead_id, ())
            if earlier and not again:
                position = self._table.position(earlier[-1])
                raise ConversionRefusedError("converted", None if position is None else self._table.record(position))
            lead = self._leads.get(lead_id)
            if lead is None and not earlier:
                raise ConversionRefusedError("unknown_lead")
            if owner_id is not None and owner_id not in self.owners:
                raise ConversionRefusedError("unknown_owner")
            if lead is not None and not lead.convertible:
                raise ConversionRefusedError("unconvertible")
            conversion = self._append(lead_id, lead.kind if lead else "both", create_deal, creator_id)
            now = self._clock()
            self._recorded[conversion.id] = RecordedConversion(
                conversion, request_id, now, now + visible_after, now + max(visible_after, lookup_after)
            )
            return conversion

    def convert_later(
        self,
        seconds: float,
        lead_id: int,
        *,
        owner_id: int | None = None,
        create_deal: bool = True,
        creator_id: int | None = None,
        again: bool = False,
        request_id: str | None = None,
    ) -> None:
        """Convert a lead later, unless it cannot be converted by then.

        :param seconds: delay; for the rest see :meth:`convert`.
        """
        with self._lock:
            convert = partial(
                self.convert,
                lead_id,
                owner_id=owner_id,
                create_deal=create_deal,
                creator_id=creator_id,
                again=again,
                request_id=request_id,
            )
            heapq.heappush(self._late_commits, (self._clock() + seconds, next(self._sequence), convert))

    def add_conversion(self, lead_id: int | None = None, visible_after: float = 0.0) -> Conversion:
        """Convert a lead as another user of the account would.

        :param lead_id: the lead; None for a new one.
        :param visible_after: seconds until the conversion is visible.
        :raises ConversionRefusedError: it cannot be converted.
        """
        with self._lock:
            target = self._add_lead(convertible=True).id if lead_id is None else lead_id
            return self.convert(target, creator_id=self.owners[-1], visible_after=visible_after)

    def remove_conversion(self, conversion_id: int) -> None:
        """Remove a conversion from the listing. Its lead stays converted.

        :raises KeyError: there is no such conversion.
        """
        with self._lock:
            self._commit_late()
            position = self._table.position(conversion_id)
            if position is None:
                raise KeyError(conversion_id)
            recorded = self._recorded.get(conversion_id) or RecordedConversion(self._table.record(position))
            self._recorded[conversion_id] = msgspec.structs.replace(recorded, removed_at=self._clock())
            self._table.remove(conversion_id)

    def find(
        self, filters: Mapping[str, int], *, below: int | None = None, offset: int = 0, limit: int = 25
    ) -> list[Conversion]:
        """Return visible conversions, newest first.

        :param filters: field -> value; conversions match all of them.
        :param below: only conversions with an id below this one.
        :param offset: how many to skip.
        :param limit: how many to return.
        """
        with self._lock:
            self._commit_late()
            matching = self._matching(filters, below)
            return [self._table.record(position) for position in islice(matching, offset, offset + limit)]

    def _matching(self, filters: Mapping[str, int], below: int | None) -> Iterator[int]:
        now = self._clock()
        ids = self._table.ids
        # A creator has a large share of all conversions: an index of this field does not help.
        selective = next((field for field in filters if field != "creator_id"), None)
        if selective is None:
            positions = self._table.positions_below(below)
        else:
            positions = self._table.positions_with(selective, filters[selective], below)
        conditions = [(self._table.columns[field], value) for field, value in filters.items()]
        for position in positions:
            recorded = self._recorded.get(ids[position])
            if recorded is not None and (recorded.listed_from if selective is None else recorded.found_from) > now:
                continue
            if all(column[position] == value for column, value in conditions):
                yield position

    def _add_lead(self, convertible: bool) -> Lead:
        self._last_lead_id += self._rng.randint(1, 7)
        kind = LEAD_KINDS[self._last_lead_id % len(LEAD_KINDS)]
        lead = Lead(self._last_lead_id, kind, self._rng.choice(self.owners), convertible)
        self._leads[lead.id] = lead
        return lead

    def _append(self, lead_id: int, kind: LeadKind, create_deal: bool, creator_id: int | None) -> Conversion:
        self._last_id += self._rng.randint(1, 4)
        individual_id = organization_id = deal_id = 0
        if kind != "organization":
            individual_id = self._last_contact_id = self._last_contact_id + 1
        if kind != "individual":
            organization_id = self._last_contact_id = self._last_contact_id + 1
        if create_deal:
            deal_id = self._last_deal_id = self._last_deal_id + 1
        created_at = int(self._wall_clock()) - self._rng.randint(0, 3)
        self._table.append(
            (self._last_id, lead_id, individual_id, organization_id, deal_id, creator_id or 0, created_at)
        )
        return self._table.record(len(self._table) - 1)

    def _commit_late(self) -> None:
        """Make the conversions that are due. Called before anything is read or written."""
        now = self._clock()
        while self._late_commits and self._late_commits[0][0] <= now:
            convert = heapq.heappop(self._late_commits)[2]
            with suppress(ConversionRefusedError):
                convert()
