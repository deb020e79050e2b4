"""The long series: kills at random moments, large volumes, and everything that can go wrong at once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_provider_leadconv.api.client import LeadConversionsClient
from airflow_provider_leadconv.api.config import ClientConfig
from airflow_provider_leadconv.api.http import TransportFailure
from airflow_provider_leadconv.export.folder import FolderOptions, export_folder
from airflow_provider_leadconv.file_formats import FileFormat
from airflow_provider_leadconv.sandbox import Sandbox
from airflow_provider_leadconv.storage.local import LocalFolder
from tests.support.endpoint import conversion
from tests.support.export_process import GeneratedEndpoint
from tests.support.exports import FORMATS, endpoint_of, export, ids, manifest, names, selection
from tests.support.responses import response

REPO = Path(__file__).parents[2]
SLOWLY = 0.005
TIMES_AND_REQUESTS = {"started": None, "finished": None, "requests": None}
FRAMED_JSON = {"errors": [{"error": {"code": "rate_limit_exceeded", "message": "m"}, "meta": {}}]}


def start(folder, rows, rows_per_file, file_format, compression="", seconds_per_request=0.0):
    command = [sys.executable, "-m", "tests.support.export_process"]
    command += map(str, (folder, rows, rows_per_file, file_format, compression, seconds_per_request))
    process = subprocess.Popen(command, cwd=REPO, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


class Trouble:
    """What happens at the endpoint while 50,000 conversions are exported."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self.endpoint = endpoint_of(50_000, on_request=self._interfere, repeated=self._repeated)
        self.deleted = set()
        self.hidden = {n: self.endpoint.rows.pop(n) for n in self._random.sample(range(49_850, 50_001), 40)}
        self.at_start = set(self.endpoint.ids)

    def _repeated(self):
        return self._random.choice([0, 0, 0, 5, 150])

    def _interfere(self, sent):
        roll = self._random.random()
        self.endpoint.add(conversion(50_000 + sent.number))
        if self.hidden and roll < 0.3:
            self.endpoint.add(self.hidden.popitem()[1])
        if 0.3 < roll < 0.5:
            victim = self._random.choice(range(1, 50_000))
            if self.endpoint.rows.pop(victim, None):
                self.deleted.add(victim)
        if roll < 0.04:
            return response(503, {})
        if roll < 0.07:
            return TransportFailure(sent=True, reason="stalled")
        if roll < 0.12:
            return response(429, FRAMED_JSON)
        return None


@pytest.mark.parametrize("file_format", FORMATS, ids=lambda file_format: file_format.suffix)
def test_all_kinds_of_trouble_at_once(tmp_path, file_format):
    trouble = Trouble(seed=len(file_format.suffix))
    export(trouble.endpoint, tmp_path, file_format=file_format, rows_per_file=7_000)
    found = ids(tmp_path)
    assert len(found) == len(set(found))
    assert trouble.at_start - trouble.deleted <= set(found)
    assert {n for n in found if n <= 50_000} <= trouble.at_start | trouble.deleted | set(trouble.endpoint.rows)


@pytest.mark.slow
def test_trouble_over_a_real_socket(tmp_path):
    faults = ["error_503:0.03", "throttle_429:0.05", "throttle_404:0.02", "stall:0.01,seconds=3", "repeat_rows:0.2"]
    with Sandbox(conversions=50_000, arrivals=1, faults=[*faults, "truncated_body:0.02"], rate=50) as sandbox:
        at_start = {row["id"] for row in sandbox.conversions}
        late = [sandbox.add_conversion(visible_after=5.0)["id"] for _ in range(50)]
        config = ClientConfig(token=sandbox.token, base_url=sandbox.base_url, requests_per_second=60, timeout=2)
        with LeadConversionsClient(config) as client:
            folder = LocalFolder(tmp_path)
            export_folder(client, selection(), folder, FORMATS[1], FolderOptions(incremental=True))
            assert at_start <= set(ids(tmp_path))
            export_folder(client, selection(), folder, FORMATS[1], FolderOptions(incremental=True))
    found = ids(tmp_path)
    assert len(found) == len(set(found))
    assert at_start | set(late) <= set(found)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(20))
def test_killed_at_a_random_moment(tmp_path, round_):
    file_format = FORMATS[round_ % len(FORMATS)]
    rows, rows_per_file = 20_000, 1_300
    delays = random.Random(round_)
    old = endpoint_of(300)
    export(old, tmp_path / "killed", file_format=file_format)
    export(GeneratedEndpoint(rows), tmp_path / "quiet", file_format=file_format, rows_per_file=rows_per_file)
    kills = 0
    while True:
        process = start(
            tmp_path / "killed", rows, rows_per_file, file_format.name, file_format.compression or "", SLOWLY
        )
        time.sleep(delays.uniform(0, 0.5))
        process.kill()
        process.communicate()
        if process.returncode == 0 or manifest(tmp_path / "killed")["rows"] == rows:
            break
        kills += 1
        assert ids(tmp_path / "killed") == old.ids[::-1]
    one, other = manifest(tmp_path / "killed"), manifest(tmp_path / "quiet")
    assert {**one, **TIMES_AND_REQUESTS} == {**other, **TIMES_AND_REQUESTS}
    assert ids(tmp_path / "killed") == ids(tmp_path / "quiet")
    # Another run clears away the generation before, and orphaned_files.
    export(GeneratedEndpoint(rows), tmp_path / "killed", file_format=file_format, rows_per_file=rows_per_file)
    assert set(names(tmp_path / "killed")) == set(names(tmp_path / "quiet"))
    print(f"{file_format.suffix}: killed {kills} times")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.parquet", "a.sqlite"])
def test_memory_does_not_grow_with_the_rows(tmp_path, name):
    if name == "a.sqlite":
        pytest.importorskip("airflow.providers.sqlite", reason="needs apache-airflow-providers-sqlite")
        kind = ("sqlite", None)
    else:
        file_format = FileFormat.from_name(name, file_format=None, compression=None)
        kind = (file_format.name, file_format.compression)
    peaks = {}
    for rows in (10_000, 1_000_000):
        process = start(tmp_path / str(rows), rows, 100_000, kind[0], kind[1] or "")
        out, _ = process.communicate(timeout=600)
        peaks[rows], requests = map(float, out.splitlines()[-1].split())
        assert requests <= rows / 200 + 2
    print(f"{name}: {peaks}")
    assert peaks[1_000_000] - peaks[10_000] < 30
