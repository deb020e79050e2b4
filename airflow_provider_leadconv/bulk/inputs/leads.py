"""Leads of rows: checked, each once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.api.models import ConversionRequest, ConversionStatus
from airflow_provider_leadconv.bulk.inputs.columns import REASON, Columns, is_result
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.inputs.rows import InputRow, only_item
from airflow_provider_leadconv.bulk.inputs.values import is_blank, read_bool, read_id

log = logging.getLogger(__name__)

WOULD_CONVERT = "would_convert"
"""What a dry run says of a lead that is not converted."""

_AGAIN = (ConversionStatus.FAILED, ConversionStatus.UNKNOWN, ConversionStatus.NOT_ATTEMPTED, WOULD_CONVERT)
_DONE = (ConversionStatus.CONVERTED, ConversionStatus.EXISTING)
_SHOWN_ERRORS = 10


class LeadBatch(list[ConversionRequest]):
    """The leads of a bulk conversion, each once.

    :param leads: the leads.
    :param is_of_results: whether the leads come from the results or the failures of an earlier run.
    :param has_unknown: whether requests of an earlier run may still be on their way: it left the outcome of one of them
        unknown, or the leads come from its failures.
    """

    def __init__(
        self, leads: Iterable[ConversionRequest] = (), *, is_of_results: bool = False, has_unknown: bool = False
    ) -> None:
        super().__init__(leads)
        self.is_of_results = is_of_results
        self.has_unknown = has_unknown


def read_leads(
    rows: Iterable[Any],
    *,
    columns: Columns | None = None,
    source: str = "leads",
    owner_id: Any = None,
    create_deal: Any = None,
    limit: int | None = None,
) -> LeadBatch:
    """Check rows and make requests of them, each lead once.

    A row is an id, a mapping with ``lead_id`` and maybe ``owner_id`` and ``create_deal``, or a one-element list of an
    id as SQL operators return it. A row with ``run`` and ``status`` is one of a file of results or failures: it is
    taken if its lead is not converted, and skipped if it is. A row may also be the error it was read with. Repeated
    leads are taken once. Other columns are ignored, and named in the log.

    :param columns: finds the columns in mappings; default: those of the names that leads have.
    :param source: where the rows are from, for messages.
    :param owner_id: default for rows that have none.
    :param create_deal: default for rows that have none.
    :param limit: take so many leads at most.
    :raises InvalidLeadsError: listing the first bad rows by their place; also for a lead that is repeated with other
        settings.
    """
    columns = columns or Columns()
    reader = _LeadReader(columns, owner_id, create_deal)
    try:
        reader.read(rows, limit)
    except InvalidLeadsError as error:
        raise InvalidLeadsError(f"{source}: {error.message}") from error
    if columns.ignored:
        log.info("Ignored columns of %s: %s", source, ", ".join(columns.ignored))
    if reader.wrong:
        raise InvalidLeadsError(f"{source}: {'; '.join(reader.wrong)}")
    return LeadBatch(reader.leads.values(), is_of_results=reader.is_of_results, has_unknown=reader.has_unknown)


class _LeadReader:
    """Collects the leads of rows, and what is wrong with the first bad ones."""

    def __init__(self, columns: Columns, owner_id: Any, create_deal: Any) -> None:
        self.leads: dict[int, ConversionRequest] = {}
        self.is_of_results = False
        self.has_unknown = False
        self.wrong: list[str] = []
        self._columns = columns
        self._places: dict[int, str] = {}
        self._defaults = {
            "owner_id": None if is_blank(owner_id) else read_id(owner_id, "owner_id"),
            "create_deal": None if is_blank(create_deal) else read_bool(create_deal, "create_deal"),
        }

    def read(self, rows: Iterable[Any], limit: int | None) -> None:
        for number, row in enumerate(rows, 1):
            if len(self.leads) == limit:
                break
            if len(self.wrong) == _SHOWN_ERRORS:
                self.wrong.append("maybe more")
                break
            place, value = row if isinstance(row, InputRow) else (f"row {number}", row)
            try:
                self._take(place, value)
            except InvalidRequestError as error:
                self.wrong.append(f"{place}: {error.message}")

    def _take(self, place: str, row: Any) -> None:
        lead = self._lead(row)
        if lead is None:
            return
        if _is_result(row):
            self.is_of_results = True
            # Beside failures there is no journal that would show whether a later try of their run was killed.
            self.has_unknown |= row["status"] == ConversionStatus.UNKNOWN or REASON in row
        first = self._places.setdefault(lead.lead_id, place)
        if self.leads.setdefault(lead.lead_id, lead) != lead:
            raise InvalidLeadsError(f"lead {lead.lead_id} is in {first} with different owner_id or create_deal")

    def _lead(self, row: Any) -> ConversionRequest | None:
        row = only_item(row)
        if isinstance(row, InvalidRequestError):
            raise row
        if isinstance(row, ConversionRequest):
            lead = row
        elif not isinstance(row, Mapping):
            lead = ConversionRequest(read_id(row, "lead_id"))
        elif _is_result(row) and _is_converted(row):
            return None
        else:
            lead = _request(row, self._columns.resolve(row.keys(), "row"))
        missing = {
            name: value for name, value in self._defaults.items() if value is not None and getattr(lead, name) is None
        }
        return msgspec.structs.replace(lead, **missing) if missing else lead


def _request(row: Mapping[Any, Any], fields: Mapping[str, Any]) -> ConversionRequest:
    """Make a request of a row.

    :param fields: field of a lead -> name of its column in the row.
    """
    values: dict[str, Any] = {}
    for field, name in fields.items():
        value = row[name]
        if is_blank(value):
            continue
        label = field if field == name else f"{name!r:.60}"
        values[field] = read_bool(value, label) if field == "create_deal" else read_id(value, label)
    if "lead_id" not in values:
        raise InvalidLeadsError(f"{fields['lead_id']} is empty")
    return ConversionRequest(**values)


def _is_converted(row: Mapping[str, Any]) -> bool:
    """Whether a line of a results file is one of a lead that is converted.

    :raises InvalidLeadsError: if it does not say so or otherwise.
    """
    if row["status"] not in (*_DONE, *_AGAIN):
        raise InvalidLeadsError(f"status is none of {', '.join((*_DONE, *_AGAIN))}: {row['status']!r:.80}")
    return row["status"] in _DONE


def _is_result(row: Any) -> bool:
    """Whether a row is a line of a results file."""
    return isinstance(row, Mapping) and is_result(row.keys())
