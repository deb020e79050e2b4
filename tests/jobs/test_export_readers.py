"""What was exported opens in the tools people use."""

from __future__ import annotations

import pytest

from airflow_provider_leadconv.jobs.writers import COLUMNS
from jobs.account import Account, conversion
from jobs.folders import export, manifest
from jobs.test_export_dataset import FORMATS

AWKWARD = 'a "quote", a comma,\na line, \u2028, é, \U0001f600, \\'


@pytest.fixture(params=FORMATS, ids=lambda how: how.suffix)
def part(request, tmp_path):
    account = Account(conversion(n) for n in range(1, 502))
    account.add(conversion(502, note=AWKWARD))
    export(account, tmp_path, how=request.param)
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


@pytest.mark.parametrize("part", [how for how in FORMATS if how.suffix == ".parquet"], indirect=True)
def test_pyarrow_takes_the_folder_for_a_data_set(part):
    dataset = pytest.importorskip("pyarrow.dataset")
    assert dataset.dataset(part.parent).count_rows() == 502
