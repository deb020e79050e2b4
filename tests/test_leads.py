from __future__ import annotations

from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task

from airflow_provider_leadconv.bulk.inputs import Columns
from airflow_provider_leadconv.hooks.lead_files import read_lead_file
from airflow_provider_leadconv.leads import split_leads
from tests.support.airflow_harness import run_task


def ids(path: str) -> list[int]:
    return [int(line.partition('"lead_id":')[2].partition(",")[0]) for line in Path(path).read_text().splitlines()]


@pytest.fixture
def leads(tmp_path):
    path = tmp_path / "leads.csv"
    path.write_text("lead_id\n1\n2\n3\n2\n4\n1\n5\n")
    return path


def test_a_lead_is_in_one_chunk_only(tmp_path, leads):
    chunks = split_leads(str(leads), f"{tmp_path}/chunks", chunk_size=2)
    assert chunks == [f"{tmp_path}/chunks/chunk-000{number}.jsonl" for number in range(3)]
    assert [ids(chunk) for chunk in chunks] == [[1, 2], [3, 4], [5]]


def test_there_are_no_more_chunks_than_airflow_maps_over(tmp_path, leads, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    chunks = split_leads(str(leads), f"{tmp_path}/chunks", chunk_size=1)
    assert [ids(chunk) for chunk in chunks] == [[1, 2, 3], [4, 5]]


def test_of_earlier_results_only_what_is_not_converted(tmp_path):
    (tmp_path / "old.jsonl").write_text(
        '{"lead_id": 1, "status": "converted", "run": "r"}\n{"lead_id": 2, "status": "failed", "run": "r"}\n'
        '{"lead_id": 3, "status": "existing", "run": "r"}\n{"lead_id": 4, "status": "would_convert", "run": "r"}\n'
    )
    (chunk,) = split_leads(f"{tmp_path}/old.jsonl", f"{tmp_path}/chunks/")
    assert ids(chunk) == [2, 4]


@pytest.mark.parametrize("is_killed", [True, False])
def test_chunks_of_the_results_of_a_killed_run_are_marked(tmp_path, is_killed):
    (tmp_path / "old.jsonl").write_text(
        '{"lead_id": 1, "status": "failed", "run": "r"}\n{"lead_id": 2, "status": "failed", "run": "r"}\n'
    )
    if is_killed:
        (tmp_path / "old.jsonl.journal").write_text('{"record":"sending","run":"r"}\n')
    chunks = split_leads(f"{tmp_path}/old.jsonl", f"{tmp_path}/chunks", chunk_size=1)
    batches = [read_lead_file(chunk, Columns()) for chunk in chunks]
    assert [[lead.lead_id for lead in batch] for batch in batches] == [[1], [2]]
    assert [batch.has_unknown for batch in batches] == [is_killed] * 2


@pytest.mark.parametrize("chunk_size", [1, 3, 5])
def test_another_chunk_size_for_the_same_chunks_is_refused(tmp_path, leads, chunk_size):
    chunks = split_leads(str(leads), f"{tmp_path}/chunks", chunk_size=2)
    with pytest.raises(AirflowFailException, match=r"chunk-0000\.jsonl already exists with other leads"):
        split_leads(str(leads), f"{tmp_path}/chunks", chunk_size=chunk_size)
    assert [ids(chunk) for chunk in chunks] == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [("2,7", "line 3: lead 2 is in line 2 with different owner_id"), ("x,", "line 3: lead_id must be an integer")],
)
def test_a_wrong_row_fails_the_task_before_anything_is_written(tmp_path, row, reason):
    (tmp_path / "leads.csv").write_text(f"lead_id,owner_id\n2,\n{row}\n")
    with pytest.raises(AirflowFailException, match=reason):
        split_leads(f"{tmp_path}/leads.csv", f"{tmp_path}/chunks", chunk_size=1)
    assert not (tmp_path / "chunks").exists()


@pytest.mark.parametrize("chunk_size", [0, "", "many", 1.5])
def test_a_chunk_size_that_is_none(tmp_path, leads, chunk_size):
    with pytest.raises(AirflowFailException, match="chunk_size must be"):
        split_leads(str(leads), f"{tmp_path}/chunks", chunk_size=chunk_size)


def test_as_a_task_it_takes_templates(tmp_path, leads):
    with DAG("split", schedule=None, params={"folder": Param(str(tmp_path)), "size": Param(3)}) as dag:
        task(task_id="split", retries=2)(split_leads)(
            "{{ params.folder }}/leads.csv", "{{ params.folder }}/{{ run_id }}", chunk_size="{{ params.size }}"
        )
    first = run_task(dag.get_task("split"))
    assert [ids(chunk) for chunk in first.value] == [[1, 2, 3], [4, 5]]
    leads.write_text("lead_id\n6\n")
    again = run_task(dag.get_task("split"), try_number=2)
    assert (again.state, type(again.error)) == ("failed", AirflowFailException)
    assert [ids(chunk) for chunk in first.value] == [[1, 2, 3], [4, 5]]
