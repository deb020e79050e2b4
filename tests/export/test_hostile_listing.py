"""Exports of a listing that contradicts itself, over real sockets: complete, or an error and nothing published."""

from __future__ import annotations

import json

import pytest

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.exceptions import PERMANENT_ERRORS, InvalidResponseError
from airflow_provider_leadconv.export.folder import FolderOptions, export_folder
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.exports import selection

ROWS = 1000


@pytest.fixture
def sandbox():
    with Sandbox(conversions=ROWS) as sandbox:
        yield sandbox


def export(sandbox, path, *, check_count=True, **options):
    config = ClientConfig(
        token=sandbox.token,
        base_url=sandbox.base_url,
        requests_per_second=1000.0,
        settle_time=0.1,
        check_count=check_count,
    )
    with LeadConversionsClient(config) as client:
        return export_folder(client, selection(), LocalFolder(path), FileFormat(), FolderOptions(**options))


def exported(path):
    parts = json.loads((path / "_manifest.json").read_bytes())["parts"]
    return [json.loads(line)["id"] for part in parts for line in (path / part["name"]).read_text().splitlines()]


@pytest.mark.parametrize("verify_complete", [False, True])
def test_a_page_with_missing_rows_is_an_error(sandbox, tmp_path, verify_complete):
    sandbox.faults = ["missing_rows"]
    with pytest.raises(InvalidResponseError, match=r"a page of 100 items whose meta\.count is 200") as caught:
        export(sandbox, tmp_path, verify_complete=verify_complete)
    assert not isinstance(caught.value, PERMANENT_ERRORS)
    assert not (tmp_path / "_manifest.json").exists()


@pytest.mark.expected_violation("lacks conversion", reason="check_count=False gives up completeness")
def test_without_the_check_the_statement_does_not_claim_completeness(sandbox, tmp_path):
    sandbox.faults = ["missing_rows"]
    export(sandbox, tmp_path, check_count=False, verify_complete=True)
    statement = json.loads((tmp_path / "_manifest.json").read_bytes())["verification"]["statement"]
    assert "does not prove that the export is complete: check_count is false" in statement
    assert len(exported(tmp_path)) == ROWS // 2


def test_the_statement_says_what_makes_it_complete(sandbox, tmp_path):
    export(sandbox, tmp_path, verify_complete=True)
    statement = json.loads((tmp_path / "_manifest.json").read_bytes())["verification"]["statement"]
    assert statement.endswith("each page had as many rows as its meta.count.")


def test_a_page_with_missing_rows_is_read_again(sandbox, tmp_path):
    sandbox.faults = ["missing_rows,times=2"]
    export(sandbox, tmp_path)
    assert exported(tmp_path) == [row["id"] for row in sandbox.conversions]


def test_a_count_of_the_whole_listing_is_reached(sandbox, tmp_path):
    sandbox.faults = ["total_count"]
    assert export(sandbox, tmp_path, verify_complete=True).rows == ROWS
    assert exported(tmp_path) == [row["id"] for row in sandbox.conversions]


@pytest.mark.parametrize("fault", ["expired_cursor,times=2", "expired_cursor:0.1"])
def test_an_expired_cursor_loses_and_repeats_nothing(sandbox, tmp_path, fault):
    sandbox.faults = [fault]
    assert export(sandbox, tmp_path, rows_per_file=300).rows == ROWS
    assert exported(tmp_path) == [row["id"] for row in sandbox.conversions]


def test_cursors_that_always_expire_are_a_temporary_error(sandbox, tmp_path):
    sandbox.faults = ["expired_cursor"]
    with pytest.raises(InvalidResponseError, match="cursors were rejected") as caught:
        export(sandbox, tmp_path)
    assert not isinstance(caught.value, PERMANENT_ERRORS)
    assert not (tmp_path / "_manifest.json").exists()
