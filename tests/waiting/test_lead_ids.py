"""Lead ids in every form in which users and templates have them."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.waiting.lead_ids import LeadIds, read_lead_ids, shown


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (5, ([5], False)),
        ("5", ([5], False)),
        ([5, "6", 5], ([5, 6], True)),
        ((5,), ([5], True)),
        (" [5, 6] ", ([5, 6], True)),
        ("['5', '6']", ([5, 6], True)),
        ("[]", ([], True)),
        ("5,6", ([5, 6], True)),
        (" 5, 6 ,", ([5, 6], True)),
        ("(5, 6)", ([5, 6], True)),
    ],
)
def test_lead_ids_in_every_form(value: object, ids: tuple[list[int], bool]) -> None:
    assert read_lead_ids(value) == LeadIds(*ids)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "[x]",
        "[1",
        "1,x",
        "5\x1d",
        "[" * 5000,
        [[[1, 2]]],
        None,
        True,
        1.5,
        {"lead_id": 1},
        [None],
        [[1]],
        b"1",
    ],
)
def test_an_invalid_lead_id_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequestError, match="lead_id"):
        read_lead_ids(value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "lead 1"),
        (5, "leads 1, 2, 3, 4, 5"),
        (6, "leads 1, 2, 3, 4, 5 and 1 more"),
        (2005, "leads 1, 2, 3, 4, 5 and 2,000 more"),
    ],
)
def test_at_most_five_ids_are_shown(number: int, text: str) -> None:
    assert shown(range(1, number + 1)) == text
