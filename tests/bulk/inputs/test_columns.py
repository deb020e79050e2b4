from __future__ import annotations

import msgspec
import pytest

from airflow_provider_leadconv.api.models import COLUMNS, ConversionRequest, ConversionResult, ConversionStatus
from airflow_provider_leadconv.bulk.inputs.columns import Columns, is_result
from airflow_provider_leadconv.bulk.inputs.errors import InvalidLeadsError
from airflow_provider_leadconv.bulk.outputs.records import ResultRecord


@pytest.mark.parametrize(
    "name", ["lead_id", "Lead ID", "LEAD_ID", " lead-id ", "\ufefflead_id", "leadId", "Lead\xa0ID"]
)
def test_the_column_of_ids_in_every_spelling(name):
    columns = Columns()
    assert columns.resolve(["Name", name], "header") == {"lead_id": name}
    assert list(columns.ignored) == ["Name"]


@pytest.mark.parametrize(
    "name",
    ["owner", "Owner", "owner id", "OwnerId", "Lead Owner", "owner_email", "owners", "ownerid", "onwer_id", "owner_i"],
)
def test_what_resembles_owner_id(name):
    with pytest.raises(InvalidLeadsError, match="resembles owner_id"):
        Columns().resolve(["lead_id", name], "header")


@pytest.mark.parametrize(
    "name", ["create deal", "Create Deal?", "createDeal", "create-deal", "creat_deal", "create_a_deal", "create_deals"]
)
def test_what_resembles_create_deal(name):
    with pytest.raises(InvalidLeadsError, match="resembles create_deal"):
        Columns().resolve(["lead_id", name], "header")


OTHERS = (
    *(name for name in COLUMNS if name != "lead_id"),
    *(
        "Name",
        "created",
        "Created Date",
        "creation date",
        "deal",
        "Deal value",
        "homeowner",
        "ownership",
        "on",
        "",
    ),
)


def test_what_resembles_no_setting():
    columns = Columns()
    assert columns.resolve(["lead_id", *OTHERS], "header") == {"lead_id": "lead_id"}
    assert list(columns.ignored) == [name for name in OTHERS if name][:20]


def test_the_columns_of_results_are_known():
    columns = Columns()
    result = ConversionResult(lead_id=1, status=ConversionStatus.FAILED)
    line = msgspec.structs.asdict(ResultRecord.of(ConversionRequest(1), result, "failed", "r", None))
    assert is_result(line)
    assert columns.resolve(line, "row") == {name: name for name in ("lead_id", "owner_id", "create_deal")}
    assert not columns.ignored


def test_one_name_may_be_given_as_a_string():
    assert Columns(ignore_columns="Owner").resolve(["lead_id", "Owner"], "header") == {"lead_id": "lead_id"}


def test_of_two_columns_one_may_be_ignored_on_request():
    assert Columns(ignore_columns=["Lead ID"]).resolve(["lead_id", "Lead ID"], "header") == {"lead_id": "lead_id"}


def test_many_columns_are_not_all_listed():
    with pytest.raises(InvalidLeadsError) as caught:
        Columns().resolve([f"c{number}" for number in range(1000)], "header")
    assert len(str(caught.value)) < 300


def test_keys_of_any_kind():
    assert Columns().resolve([5, None, "lead_id"], "row") == {"lead_id": "lead_id"}


def test_rows_with_keys_of_their_own_are_not_remembered_for_ever():
    columns = Columns()
    for number in range(3_000):
        columns.resolve(["lead_id", f"c{number}"], "row")
    assert len(columns._resolved) <= 1_000
    assert len(columns.ignored) == 20
