"""The lead ids of a sensor, in all forms in which users and templates pass them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from airflow_provider_leadconv.api.models import as_id
from airflow_provider_leadconv.rendered import parse_rendered

_SHOWN = 5


class LeadIds(msgspec.Struct, frozen=True):
    """Lead ids without duplicates.

    :param ids: the ids, in the order given.
    :param is_list: whether the user passed a list, so that the sensor returns a list.
    """

    ids: list[int]
    is_list: bool


def shown(lead_ids: Sequence[int]) -> str:
    """Name leads in a log line or an error: the first five, and how many more."""
    first = ", ".join(map(str, lead_ids[:_SHOWN]))
    more = len(lead_ids) - _SHOWN
    noun = "lead" if len(lead_ids) == 1 else "leads"
    return f"{noun} {first} and {more:,} more" if more > 0 else f"{noun} {first}"


def read_lead_ids(value: Any) -> LeadIds:
    """Parse lead ids.

    :param value: an id, a sequence of ids, or a rendered template: an id, ids separated by commas, or a list as JSON or
        as a Python literal.
    :return: the ids.
    :raises InvalidRequestError: if it is anything else, or an id is out of range.
    """
    if isinstance(value, str) and any(character in value for character in ",[("):
        value = parse_rendered(value, "lead_id")
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return LeadIds(list(dict.fromkeys(as_id(lead_id, "lead_id") for lead_id in value)), is_list=True)
    return LeadIds([as_id(value, "lead_id")], is_list=False)
