from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.exceptions import InvalidRequestError
from airflow_provider_leadconv.rendered import parse_rendered

FLOATS = ("2.5E+9", "1.0", "-0.5", {"lead_id": "9007199254740993.0"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", []),
        ("5", ["5"]),
        (" 5, 6 ,", ["5", "6"]),
        ("[5, 6]", [5, 6]),
        ('[{"lead_id": 5}]', [{"lead_id": 5}]),
        ("['5', '6']", ["5", "6"]),
        ("(5, 6)", (5, 6)),
        ("{'lead_id': 5, 'owner_id': None}", {"lead_id": 5, "owner_id": None}),
        ("[2.5E+9, 1.0]", ["2.5E+9", "1.0"]),
        ("['größe', 2.5E+9,\r\n 1.0, -0.5,\n {'lead_id': 9007199254740993.0}]", ["größe", *FLOATS]),
    ],
)
def test_json_a_python_literal_or_commas(text, value):
    assert parse_rendered(text, "leads") == value


@pytest.mark.parametrize(
    "text", ["[", "[x]", "[" * 100_000, '{"a":' * 100_000, "[" + "9" * 5000 + "]", "{[]: 1}", "[\0]"]
)
def test_anything_else_is_an_error_that_names_the_parameter(text):
    with pytest.raises(InvalidRequestError, match="leads is neither JSON nor ids separated by commas") as caught:
        parse_rendered(text, "leads")
    assert len(str(caught.value)) < 250
