"""What was exported opens in the tools people use."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.api.models import COLUMNS
from tests.support.endpoint import conversion
from tests.support.exports import FORMATS, endpoint_of, export, manifest

AWKWARD = 'a "quote", a comma,\na line, \u2028, é, \U0001f600, \\'


@pytest.fixture(params=FORMATS, ids=lambda file_format: file_format.suffix)
def part(request, tmp_path):
    endpoint = endpoint_of(501)
    endpoint.add(conversion(502, note=AWKWARD))
    export(endpoint, tmp_path, file_format=request.param)
    return tmp_path / manifest(tmp_path)["parts"][0]["name"]


def test_pandas(part):
    pandas = pytest.importorskip("pandas")
    if part.suffix == ".parquet":
        frame = pandas.read_parquet(part)
        assert str(frame["created_at"].dtype) == "datetime64[us, UTC]"
    elif ".csv" in part.name:
        frame = pandas.read_csv(part, parse_dates=["created_at"])
    else:
        frame = pandas.read_json(part, lines=True)
        assert frame["note"].iloc[0] == AWKWARD
    assert list(frame)[:7] == list(COLUMNS)
    assert frame["id"].tolist() == list(range(502, 0, -1))
    assert frame["individual_id"].isna().sum() == 167
    assert str(frame["created_at"].iloc[0]).startswith("2026-01-01 08:22:00")


def test_duckdb(part):
    duckdb = pytest.importorskip("duckdb")
    reader = {"jsonl": "read_json", "csv": "read_csv", "parquet": "read_parquet"}[part.name.split(".")[1]]
    columns = "id, individual_id, created_at::TIMESTAMP::VARCHAR" + (", note" if ".jsonl" in part.name else "")
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        rows = connection.execute(f"SELECT {columns} FROM {reader}('{part}')").fetchall()
    assert [row[0] for row in rows] == list(range(502, 0, -1))
    assert sum(row[1] is None for row in rows) == 167
    assert rows[0][2:] == ("2026-01-01 08:22:00", AWKWARD)[: len(rows[0]) - 2]


@pytest.mark.parametrize("part", [form for form in FORMATS if form.suffix == ".parquet"], indirect=True)
def test_pyarrow_takes_the_folder_for_a_data_set(part):
    dataset = pytest.importorskip("pyarrow.dataset")
    assert dataset.dataset(part.parent).count_rows() == 502
