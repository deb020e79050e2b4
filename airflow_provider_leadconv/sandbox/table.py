"""Conversions in columns: a million of them take about 200 MB and a few seconds to generate."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_provider_leadconv.sandbox.schemas import Conversion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from random import Random

FIRST_CONVERSION_ID = 650_000
FIRST_LEAD_ID = 2**31 + 1_000
FIRST_CONTACT_ID = 310_000_000
FIRST_DEAL_ID = 45_000_000
# The newest of a million conversions still lies in the past.
FIRST_CREATED_AT = int(datetime(2021, 2, 17, 16, 32, 56, tzinfo=UTC).timestamp())
SECONDS_BETWEEN = 97

FIELDS = ("id", "lead_id", "individual_id", "organization_id", "deal_id", "creator_id", "created_at")


class ConversionTable:
    """Rows in ascending order of id. Zero means null; ``created_at`` is in epoch seconds."""

    def __init__(self) -> None:
        self.columns = {field: array("q") for field in FIELDS}
        self.ids = self.columns["id"]
        self._indexes: dict[str, dict[int, tuple[int, ...]]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, row: Sequence[int]) -> None:
        """Add a row, in the order of ``FIELDS``, whose id is above all others."""
        for field, value in zip(FIELDS, row, strict=True):
            self.columns[field].append(value)
            # Null is never looked up, and its many ids would slow down the index.
            if value and field in self._indexes:
                index = self._indexes[field]
                index[value] = (*index.get(value, ()), row[0])

    def remove(self, conversion_id: int) -> None:
        """Remove a row. The index keeps its id: its lead stays converted.

        :raises KeyError: there is no such row.
        """
        position = self.position(conversion_id)
        if position is None:
            raise KeyError(conversion_id)
        for column in self.columns.values():
            del column[position]

    def position(self, conversion_id: int) -> int | None:
        """Return the position of a row, or None if it does not exist."""
        position = bisect_left(self.ids, conversion_id)
        found = position < len(self.ids) and self.ids[position] == conversion_id
        return position if found else None

    def index(self, field: str) -> dict[int, tuple[int, ...]]:
        """Return value -> ids of the conversions with it, including removed ones; built on first use."""
        if field not in self._indexes:
            index: dict[int, tuple[int, ...]] = {}
            for value, conversion_id in zip(self.columns[field], self.ids, strict=True):
                if value:
                    index[value] = (*index.get(value, ()), conversion_id)
            self._indexes[field] = index
        return self._indexes[field]

    def positions_below(self, conversion_id: int | None) -> Iterator[int]:
        """Return positions of the rows with a lower id (None: all rows), newest first."""
        end = len(self) if conversion_id is None else bisect_left(self.ids, conversion_id)
        return iter(range(end - 1, -1, -1))

    def positions_with(self, field: str, value: int, below: int | None) -> Iterator[int]:
        """Return positions of the rows with this value and an id below ``below``, newest first."""
        for conversion_id in reversed(self.index(field).get(value, ())):
            if below is None or conversion_id < below:
                position = self.position(conversion_id)
                if position is not None:
                    yield position

    def record(self, position: int) -> Conversion:
        """Return the row as the API shows it."""
        columns = self.columns
        created_at = datetime.fromtimestamp(columns["created_at"][position], UTC)
        return Conversion(
            id=self.ids[position],
            lead_id=columns["lead_id"][position],
            individual_id=columns["individual_id"][position] or None,
            organization_id=columns["organization_id"][position] or None,
            deal_id=columns["deal_id"][position] or None,
            creator_id=columns["creator_id"][position] or None,
            created_at=f"{created_at:%Y-%m-%dT%H:%M:%S}Z",
        )

    def fill(self, count: int, creators: Sequence[int], rng: Random) -> None:
        """Generate conversions, each of another lead.

        Ids have gaps, lead ids and times of creation are not in the order of ids, and nullable fields
        are sometimes null.

        :param count: how many.
        :param creators: user ids to choose from.
        """

        def noise() -> Iterable[int]:
            return rng.randbytes(count)

        fill = {field: column.extend for field, column in self.columns.items()}
        fill["id"](accumulate((1 + n % 4 for n in noise()), initial=FIRST_CONVERSION_ID))
        self.ids.pop(0)
        # Exclusive or with a constant swaps neighbours within blocks of 64.
        fill["lead_id"](FIRST_LEAD_ID + 7 * (i ^ 42) + n % 7 for i, n in enumerate(noise()))
        kinds = rng.randbytes(count)
        fill["individual_id"](0 if n % 4 == 0 else FIRST_CONTACT_ID + 2 * i for i, n in enumerate(kinds))
        fill["organization_id"](0 if n % 4 == 1 else FIRST_CONTACT_ID + 2 * i + 1 for i, n in enumerate(kinds))
        fill["deal_id"](0 if n % 3 == 0 else FIRST_DEAL_ID + 3 * i + n % 3 for i, n in enumerate(noise()))
        fill["creator_id"](0 if n < 16 else creators[n % len(creators)] for n in noise())
        fill["created_at"](FIRST_CREATED_AT + SECONDS_BETWEEN * i + n - 128 for i, n in enumerate(noise()))
